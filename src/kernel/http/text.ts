import { invalid } from '../problem.ts'

/**
 * The text in NFC.
 * @throws Problem 422 for NUL and lone surrogates, which no store can keep
 */
export function cleanText(text: string, path: string): string {
  if (text.includes('\0')) throw invalid(path, 'must not hold the character NUL')
  if (!text.isWellFormed()) throw invalid(path, 'must not hold half a character (a lone surrogate)')
  return text.normalize('NFC')
}
