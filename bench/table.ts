import type { Cpu, Line } from './row.ts'

export const ratioOf = ({ rate, limit, ratio }: Line): number | null =>
  ratio ?? (rate === null || limit === null ? null : rate / limit)

/** Two digits of what is small, no fraction of what is not. */
const shown = (value: number | null, unit = ''): string =>
  value === null || Number.isNaN(value) ? '-' : `${value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString('en')}${unit}`

/** As Markdown, which is also readable as it is; the last column is not filled up. */
function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows]
  const widths = head.map((_, column) => (column === head.length - 1 ? 3 : Math.max(3, ...all.map(row => row[column]!.length))))
  const text = (row: readonly string[]): string => `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`
  return [text(head), `|${widths.map(width => '-'.repeat(width + 2)).join('|')}|`, ...rows.map(text)].join('\n')
}

/** What was measured. */
export const table = (lines: readonly Line[]): string =>
  markdown(
    ['work', 'Darkroom', 'p50 ms', 'p99 ms', 'limit', 'the limit is', 'ratio', 'aim', 'checked'],
    lines.map(line => {
      const { work, rate, unit, p50, p99, limit, limitIs, aim, check } = line
      const limited = shown(limit, limit === null ? '' : unit)
      return [work, shown(rate, unit), shown(p50), shown(p99), limited, limitIs, ratioOf(line)?.toFixed(2) ?? '-', aim, check]
    }),
  )

/** Microseconds of the processor for each that was done, ours and the limit's; empty where the system does not tell. */
export function cpuTable(lines: readonly Line[]): string {
  const parts = ({ server, postgres, generator }: Cpu): string[] => [server, postgres, generator].map(value => shown(value))
  const rows = lines.flatMap(({ work, cpu }) => (cpu === undefined ? [] : [[work, ...parts(cpu.ours), ...parts(cpu.limit)]]))
  if (rows.length === 0) return ''
  const head = ['processor, µs each', 'server', 'Postgres', 'generator', 'limit: server', 'Postgres', 'generator']
  return `\n${markdown(head, rows)}\n`
}
