import * as v from 'valibot'
import { example } from '../kernel/http/schema.ts'

/** What people say of themselves, as it is taken. */

/** Answers in lower case. */
export const Username = example(
  v.pipe(
    v.string(),
    v.regex(
      /^(?!\.)[a-z0-9._]{1,30}(?<!\.)$/i,
      'must be 1 to 30 of the letters a to z, digits, dots and underscores, without a dot first or last',
    ),
    v.toLowerCase(),
  ),
  'ada',
)

export const Password = example(
  v.pipe(v.string(), v.minCodePoints(8), v.maxCodePoints(256), v.description('8 to 256 characters, not a common one')),
  'correct horse battery staple',
)

/** One line; only white space is as good as none. */
const line = (most: number, value: string) =>
  example(
    v.pipe(
      v.string(),
      v.maxCodePoints(most),
      v.regex(/^\P{Cc}*$/u, 'must not hold control characters or line breaks'),
      v.transform(text => (text.trim() === '' ? null : text)),
    ),
    value,
  )

export const DisplayName = line(64, 'Ada Byron')
export const Pronouns = line(40, 'she/her')
export const Gender = line(40, 'woman')
export const City = line(100, 'London')
export const Country = line(100, 'United Kingdom')

export const Bio = example(
  v.pipe(
    v.string(),
    v.maxCodePoints(500),
    v.transform(text => (text.trim() === '' ? null : text)),
  ),
  'Light, mostly',
)

const isWeb = (text: string): boolean =>
  URL.canParse(text) && ['http:', 'https:'].includes(new URL(text).protocol) && !/\s/.test(text)

export const Website = example(
  v.pipe(v.string(), v.maxCodePoints(200), v.check(isWeb, 'must be a URL that begins with https:// or http://')),
  'https://ada.example/',
)

const isDate = (text: string): boolean => {
  const time = Date.parse(`${text}T00:00:00Z`)
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text)
}

export const BirthDate = example(
  v.pipe(v.string(), v.isoDate(), v.check(isDate, 'must be a date that there was'), v.description('At least 13 years ago')),
  '1990-12-10',
)
