/** Whether a subject matches a pattern, as in NATS: `*` is one word, `>` at the end one or more. */
export function matchesSubject(pattern: string, subject: string): boolean {
  const wanted = pattern.split('.')
  const words = subject.split('.')
  for (const [index, word] of wanted.entries()) {
    if (word === '>') return words.length > index
    if (words[index] === undefined || (word !== '*' && word !== words[index])) return false
  }
  return wanted.length === words.length
}
