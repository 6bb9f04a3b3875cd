import { captionLimits, hashtagsOf, mentionsOf } from '../domain/posts/content.ts'
import { invalid } from '../kernel/problem.ts'

/**
 * Checks what people write under a picture for what a schema cannot count.
 * @param path where it stands in the body, as JSON Pointer
 * @throws Problem validation_failed
 */
export function checkWords(text: string, path: string): void {
  const { hashtags, mentions } = captionLimits
  if (hashtagsOf(text).length > hashtags) throw invalid(path, `must not have more than ${hashtags} hashtags`)
  if (mentionsOf(text).length > mentions) throw invalid(path, `must not have more than ${mentions} mentions`)
}
