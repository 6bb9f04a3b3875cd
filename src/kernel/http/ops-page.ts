import { createHash } from 'node:crypto'
import type { Page } from './docs.ts'

const style = `
:root{color-scheme:light dark;--line:#8883;--soft:#8881;--bad:#b3261e;--warn:#8a5a00;--good:#1b6e3c}
@media(prefers-color-scheme:dark){:root{--bad:#ff8a80;--warn:#ffca6b;--good:#7fd6a0}}
body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;padding:1.2rem;max-width:78rem}
header{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;align-items:baseline}h1{font-size:1.3rem;margin:0}h2{font-size:1rem;margin:1.6rem 0 .4rem}
#age{margin-left:auto;opacity:.75}
#alarms{margin:1rem 0;padding:.6rem 1rem;border-left:.35rem solid var(--good);background:var(--soft);list-style:none}
#alarms.degraded{border-color:var(--warn)}#alarms.not_ready,#alarms.silent{border-color:var(--bad)}
#alarms li+li{margin-top:.3rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
td:first-child,th:first-child{width:15rem}td:nth-child(7){min-width:16rem}
.wide td:nth-child(2){width:12rem}
th,td{padding:.28rem 1.4rem .28rem 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}th{font-weight:600;opacity:.75}
.n{text-align:right;width:7rem}.bad{color:var(--bad);font-weight:600}.warn{color:var(--warn);font-weight:600}.good{color:var(--good)}
.state{width:9rem}progress{width:8rem}`

/** Runs in the operator's browser: asks for the JSON every other second and writes it down, as text only. */
const script = `
const $ = id => document.getElementById(id)
const cell = (text, kind = '') => Object.assign(document.createElement('td'), { textContent: text, className: kind })
const row = cells => { const tr = document.createElement('tr'); tr.append(...cells); return tr }
const number = n => n.toLocaleString('en')
const time = s => s < 120 ? Math.round(s) + ' s' : s < 7200 ? Math.round(s / 60) + ' min' : Math.round(s / 3600) + ' h'
const seen = new Map()
const rateOf = (name, position, now) => {
  const past = seen.get(name) ?? []
  past.push({ position, now })
  while (past.length > 2 && now - past[0].now > 10000) past.shift()
  seen.set(name, past)
  const [first] = past
  return now > first.now ? (position - first.position) * 1000 / (now - first.now) : 0
}
const states = { running: ['running', 'good'], idle: ['\\u25cb nobody runs it', 'warn'], paused: ['\\u25a0 paused', 'bad'], waiting_for_upgrade: ['\\u25d1 waits for an upgrade', 'warn'] }
const modelRow = (model, now) => {
  const rate = rateOf(model.name, model.position, now)
  const [text, kind] = states[model.state] ?? [model.state, '']
  const more = cell(model.error === null ? '' : model.error.type + ' at ' + number(model.error.position) + ': ' + model.error.message)
  if (model.rebuild !== null) {
    const { position, target, eventsPerSecond, secondsLeft } = model.rebuild
    more.append(Object.assign(document.createElement('progress'), { max: Math.max(1, target), value: position }),
      ' rebuilt, ' + number(eventsPerSecond) + ' events/s' + (secondsLeft === null ? '' : ', ' + time(secondsLeft) + ' left'))
  }
  return row([cell(model.name), cell(model.version, 'n'), cell(number(model.position), 'n'), cell(number(model.lag), model.lag > 0 ? 'n warn' : 'n'),
    cell(rate < 0.5 ? '' : number(Math.round(rate)), 'n'), cell(text, kind), more])
}
const alarms = (kind, texts) => {
  $('alarms').className = kind
  $('alarms').replaceChildren(...texts.map(text => Object.assign(document.createElement('li'), { textContent: text })))
}
const dueText = ({ count, oldestSeconds }) => count === 0 ? 'none' : number(count) + ', the oldest for ' + time(oldestSeconds)
const show = at => {
  const now = performance.now()
  $('process').textContent = at.version + ', ' + at.role
  $('head').textContent = at.head === null ? '' : 'The log is at position ' + number(at.head) + '.'
  const signs = { ready: '', degraded: '\\u25b2 ', not_ready: '\\u25a0 ' }
  alarms(at.status, at.reasons.length === 0 ? ['\\u2713 All is well.'] : at.reasons.map(reason => signs[at.status] + reason))
  document.title = (at.reasons.length === 0 ? '' : '(' + at.reasons.length + ') ') + 'Darkroom: operations'
  $('parts').replaceChildren(...at.parts.map(({ name, needed, away }) => row([cell(name),
    away === null ? cell('answers', 'good') : cell('\\u25a0 away for ' + time(away.seconds), needed ? 'bad' : 'warn'), cell(away === null ? '' : away.reason)])))
  if (at.due !== null) {
    $('parts').append(row([cell('mails due'), cell(dueText(at.due.mails), at.due.mails.oldestSeconds > 60 ? 'warn' : ''), cell('')]),
      row([cell('timers due'), cell(dueText(at.due.timers), at.due.timers.oldestSeconds > 60 ? 'warn' : ''), cell('')]))
  }
  for (const [id, kinds] of [['models', ['model', 'state']], ['reactions', ['reaction']]])
    if (at.head !== null) $(id).replaceChildren(...at.readModels.filter(({ kind }) => kinds.includes(kind)).map(model => modelRow(model, now)))
}
let last = null
const ask = async () => {
  if (document.hidden) return
  try {
    const answer = await fetch('/ops', { headers: { Accept: 'application/json' }, signal: AbortSignal.timeout(8000), cache: 'no-store' })
    if (!answer.ok) throw new Error('it answers ' + answer.status)
    show(await answer.json())
    last = Date.now()
  } catch (error) {
    alarms('silent', ['\\u25a0 The process does not tell how it is: ' + error.message + '. What stands below is old.'])
  }
}
const loop = async () => { await ask(); setTimeout(loop, 2000) }
setInterval(() => { $('age').textContent = last === null ? '' : 'as of ' + time((Date.now() - last) / 1000) + ' ago' }, 1000)
document.addEventListener('visibilitychange', ask)
loop()`

const heads =
  '<tr><th>name<th class="n">version<th class="n">position<th class="n">lag<th class="n">positions/s<th class="state">state<th></tr>'
const html = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Darkroom: operations</title><style>${style}</style></head><body>
<header><h1>Darkroom</h1><span id="process"></span><span id="head"></span><span id="age"></span></header>
<ul id="alarms" role="status"><li>Asks how it is…</li></ul>
<noscript><p>This page needs its script; the same as JSON: <code>curl /ops</code>.</p></noscript>
<h2>Parts</h2><div class="scroll"><table class="wide"><tbody id="parts"></tbody></table></div>
<h2>Read models</h2><div class="scroll"><table><thead>${heads}</thead><tbody id="models"></tbody></table></div>
<h2>Reactions</h2><div class="scroll"><table><thead>${heads}</thead><tbody id="reactions"></tbody></table></div>
<script>${script}</script></body></html>`

const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

/** `/ops` for people: one page that keeps itself up to date, from this server alone. */
export const opsPage: Page = {
  html,
  headers: {
    'Content-Type': 'text/html; charset=utf-8',
    'Cache-Control': 'no-store',
    'Content-Security-Policy': `default-src 'none'; style-src ${hashOf(style)}; script-src ${hashOf(script)}; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  },
}
