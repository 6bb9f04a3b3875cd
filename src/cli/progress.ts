/** A bar on a terminal, one line at the end elsewhere. */
export function progressBar(name: string, total: number): { step(): void; done(): void } {
  const began = performance.now()
  let count = 0
  let shown = 0
  return {
    step() {
      count++
      if (!process.stdout.isTTY || performance.now() - shown < 100) return
      shown = performance.now()
      const seconds = (shown - began) / 1_000
      const part = count / total
      process.stdout.write(
        `\r${name.padEnd(20)} [${'='.repeat(Math.round(30 * part)).padEnd(30)}] ${count} of ${total}, ${Math.ceil((seconds / part) * (1 - part))} s left `,
      )
    },
    done() {
      const seconds = (performance.now() - began) / 1_000
      process.stdout.write(`${process.stdout.isTTY ? '\r\x1b[K' : ''}${name}: ${count} in ${seconds.toFixed(1)} s\n`)
    },
  }
}
