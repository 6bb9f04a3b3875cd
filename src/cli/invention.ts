import { createHash } from 'node:crypto'

/** What a believable network is made of, for demonstrations and measurements. */

const given = [
  ...['ada', 'ben', 'cleo', 'dora', 'emil', 'fara', 'gus', 'hana', 'ivo', 'june'],
  ...['kaya', 'lars', 'mina', 'noor', 'otto', 'pia', 'quinn', 'rosa', 'sami', 'tove'],
]
const family = ['abbott', 'berg', 'costa', 'dahl', 'engel', 'flores', 'green', 'hart', 'ito', 'jansen']
export const subjects = [
  'morning fog',
  'the harbour',
  'a quiet street',
  'my grandmother’s garden',
  'rain on the window',
  'the last light',
  'a borrowed bicycle',
  'bread',
  'the hill behind the house',
  'an old sign',
]
const moods = ['#light', '#film', '#street', '#quiet', '#colour', '#weekend', '#monochrome', '#sea', '#city', '#home']
export const remarks = [
  'What a light!',
  'I know this place.',
  'So calm.',
  'The colours!',
  'Where is this?',
  'One of your best.',
  'I can smell it.',
  'More of these, please.',
  'How did you do that?',
  'Lovely.',
]
export const placesOfWorld = [
  { name: 'Lisbon', lat: 38.72, lng: -9.14 },
  { name: 'Oslo', lat: 59.91, lng: 10.75 },
  { name: 'Kyoto', lat: 35.01, lng: 135.77 },
  { name: 'Nairobi', lat: -1.29, lng: 36.82 },
  { name: 'Valparaíso', lat: -33.05, lng: -71.61 },
]

/** Everybody invented signs in with it. */
export const demoPassword = 'a believable network'

export type Random = () => number

export const pick = <T>(list: readonly T[], random: Random): T => list[Math.floor(random() * list.length)]!

/** Low numbers often, high ones seldom: a few are followed by many (an exponential skew). */
export const skewed = (count: number, random: Random): number =>
  Math.min(count - 1, Math.floor(-Math.log(1 - random()) * (count / 8)))

/** Numbers in [0, 1) that are the same for the same seed (SHA-256 in counter mode, eight numbers a block). */
export function randomOf(seed: string): Random {
  let n = 0
  let block = Buffer.alloc(0)
  return () => {
    if (n % 8 === 0)
      block = createHash('sha256')
        .update(`${seed} ${n / 8}`)
        .digest()
    return block.readUInt32BE((n++ % 8) * 4) / 2 ** 32
  }
}

/** First and last name. */
export const personOf = (random: Random): readonly [string, string] => [pick(given, random), pick(family, random)]

const capital = (text: string): string => `${text[0]!.toUpperCase()}${text.slice(1)}`

export const displayNameOf = ([first, last]: readonly [string, string]): string => `${capital(first)} ${capital(last)}`

export const captionOf = (random: Random): string => capital(`${pick(subjects, random)} ${pick(moods, random)}`)
