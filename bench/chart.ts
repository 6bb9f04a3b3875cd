/** Figures over time as one SVG: a panel each, readable on light and on dark pages. */

export type Series = { readonly name: string; readonly values: readonly number[] }
export type Panel = { readonly title: string; readonly unit: string; readonly series: readonly Series[]; readonly note: string }

const [width, left, right, top] = [960, 76, 24, 70]
const panelHeight = 132
const gap = 58
const inner = width - left - right

/** Steps of 1, 2 or 5 times a power of ten, about so many up to the greatest. */
function ticksTo(greatest: number, about: number): number[] {
  const raw = Math.max(greatest, Number.EPSILON) / about
  const power = 10 ** Math.floor(Math.log10(raw))
  const step = power * ([1, 2, 5].find(factor => factor * power >= raw) ?? 10)
  return Array.from({ length: Math.ceil(greatest / step - 1e-9) + 1 }, (_, n) => Number((n * step).toPrecision(12)))
}

const number = (value: number): string => value.toLocaleString('en', { maximumFractionDigits: 2 })
const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')

const style = `
  svg { font: 13px system-ui, sans-serif; }
  .paper { fill: #ffffff; } .warm { fill: #eef1f5; } .grid { stroke: #d9dde3; } text { fill: #1c2733; } .soft { fill: #586675; }
  .title { font-size: 18px; font-weight: 600; } .panel { font-weight: 600; }
  path { fill: none; stroke-width: 1.8; stroke-linejoin: round; } .a { stroke: #0a62c4; } .b { stroke: #c2500a; } tspan.a { fill: #0a62c4; stroke: none; } tspan.b { fill: #c2500a; stroke: none; }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #11161c; } .warm { fill: #1b222b; } .grid { stroke: #313b47; } text { fill: #e6ebf1; } .soft { fill: #9aa8b7; }
    .a { stroke: #6cb2ff; } .b { stroke: #ffa463; } tspan.a { fill: #6cb2ff; } tspan.b { fill: #ffa463; }
  }`

/**
 * @param at minutes of each value, from 0
 * @param warm the minute up to which nothing is judged: shaded
 */
export function chart(title: string, subtitle: string, at: readonly number[], warm: number, panels: readonly Panel[]): string {
  const end = Math.max(at.at(-1) ?? 0, Number.EPSILON)
  const minutes = ticksTo(end, 10).filter(minute => minute <= end * 1.0001)
  const x = (minute: number): string => (left + (minute / end) * inner).toFixed(1)
  const height = top + panels.length * (panelHeight + gap) + 6
  const drawn = panels.map(({ title, unit, series, note }, n) => {
    const from = top + n * (panelHeight + gap) + 24
    const ticks = ticksTo(Math.max(...series.flatMap(({ values }) => values), Number.EPSILON), 4)
    const y = (value: number): string => (from + panelHeight - (value / ticks.at(-1)!) * panelHeight).toFixed(1)
    const lines = ticks.map(
      tick => `<line class="grid" x1="${left}" x2="${width - right}" y1="${y(tick)}" y2="${y(tick)}"/>
        <text class="soft" x="${left - 8}" y="${y(tick)}" dy="4" text-anchor="end">${number(tick)}</text>`,
    )
    const under = minutes.map(
      minute =>
        `<text class="soft" x="${x(minute)}" y="${from + panelHeight + 18}" text-anchor="middle">${number(minute)}${minute === 0 ? ' min' : ''}</text>`,
    )
    const paths = series.map(({ values }, index) => {
      const points = values.map((value, point) => `${x(at[point]!)} ${y(value)}`)
      return `<path class="${'ab'[index]}" d="M${points.join('L')}"/>`
    })
    const names = series.map(({ name }, index) => `<tspan class="${'ab'[index]}" dx="14">— ${escaped(name)}</tspan>`)
    return `<rect class="warm" x="${left}" y="${from}" width="${(Number(x(warm)) - left).toFixed(1)}" height="${panelHeight}"/>
      ${lines.join('')}${paths.join('')}
      <text x="${left}" y="${from - 10}"><tspan class="panel">${escaped(title)}</tspan><tspan class="soft">, ${escaped(unit)}</tspan>${names.join('')}</text>
      <text class="soft" x="${width - right}" y="${from - 10}" text-anchor="end">${escaped(note)}</text>${under.join('')}`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(title)}">
  <style>${style}</style><rect class="paper" width="100%" height="100%"/>
  <text class="title" x="${left}" y="30">${escaped(title)}</text><text class="soft" x="${left}" y="52">${escaped(subtitle)}</text>
  ${drawn.join('\n  ')}
</svg>
`
}
