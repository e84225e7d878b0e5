import type { Birth, Deed } from './decide.ts'
import { type Word, writeWord } from './network.ts'

/** Bytes of a record's value that the replicated table surely takes. */
const LARGEST = 30_000

/** Nothing is cut short: others would make another network of it. */
export const tooLong = (words: ReadonlyMap<Birth, Word>) =>
  [...words]
    .filter(([, word]) => writeWord(word).length > LARGEST)
    .map(([birth, { net }]): [string, string] => [
      `size ${birth}`,
      `network ${net?.name} isn't told to others: its options and labels are longer than ${LARGEST} bytes`,
    ])

export const failed = ({ do: what, net }: Deed, { message }: Error) =>
  what === 'create'
    ? `network ${net.name} of another host can't be made here, and will be tried again: ${message}`
    : `network ${net.name}, which was removed on another host, can't be removed here, and will be tried again: ${message}`
