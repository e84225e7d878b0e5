import { dice } from '../vxlan-fdb/world.ts'

/** Numbers from 0 up to 1, the same for the same seed. */
export type Random = () => number
export { dice }

export const below = (random: Random, limit: number): number => Math.floor(random() * limit)
export const oneOf = <T>(random: Random, all: readonly T[]): T => all[below(random, all.length)] as T

/** Bytes and numbers where readers of lengths, counts and versions have their edges. */
const edges = [0x00, 0x01, 0x7f, 0x80, 0x81, 0xa0, 0xc0, 0xd9, 0xdf, 0xe1, 0xff]
const words = ['0000', 'ffff', '7fffffff', 'ffffffff', 'ffffffffffffff7f', '80808080808080808001'].map(hex =>
  Buffer.from(hex, 'hex'),
)

type Change = (bytes: Buffer, random: Random, others: readonly Buffer[]) => Buffer

const cut = (bytes: Buffer, from: number, to: number, between: Buffer = Buffer.alloc(0)) =>
  Buffer.concat([bytes.subarray(0, from), between, bytes.subarray(to)])

const changes: readonly Change[] = [
  function flipBit(bytes, random) {
    const at = below(random, bytes.length)
    return cut(bytes, at, at + 1, Buffer.of((bytes[at] ?? 0) ^ (1 << below(random, 8))))
  },
  function setByte(bytes, random) {
    const at = below(random, bytes.length)
    return cut(bytes, at, at + 1, Buffer.of(oneOf(random, edges)))
  },
  function setWord(bytes, random) {
    const at = below(random, bytes.length)
    const word = oneOf(random, words)
    return cut(bytes, at, at + word.length, word)
  },
  function truncate(bytes, random) {
    return bytes.subarray(0, below(random, bytes.length + 1))
  },
  function remove(bytes, random) {
    const at = below(random, bytes.length)
    return cut(bytes, at, at + 1 + below(random, 16))
  },
  function repeat(bytes, random) {
    const at = below(random, bytes.length)
    const part = bytes.subarray(at, at + 1 + below(random, 64))
    return cut(bytes, at, at, Buffer.concat(Array.from({ length: 1 + below(random, 40) }, () => part)))
  },
  function insert(bytes, random) {
    const noise = Buffer.from(Array.from({ length: 1 + below(random, 24) }, () => below(random, 256)))
    const at = below(random, bytes.length + 1)
    return cut(bytes, at, at, noise)
  },
  function splice(bytes, random, others) {
    const other = oneOf(random, others)
    return Buffer.concat([
      bytes.subarray(0, below(random, bytes.length + 1)),
      other.subarray(below(random, other.length + 1)),
    ])
  },
]

/** One of the samples, changed in one to four places; now and then as it is, so that what follows finds a state that lives. */
export function mutated(samples: readonly Buffer[], random: Random): Buffer {
  let bytes = oneOf(random, samples)
  for (let left = below(random, 5); left > 0 && bytes.length > 0; left--)
    bytes = oneOf(random, changes)(bytes, random, samples).subarray(0, 256 * 1024)
  return Buffer.from(bytes)
}

const odd: readonly unknown[] = [
  ...[null, true, 0, -1, 1, 4095, 4096, 2 ** 31, 2 ** 53, 1e300, '', 'x', '__proto__', 'constructor'],
  ...[
    '10.0.0.0/8',
    '10.1.0.0/33',
    '::/0',
    'fd00::/129',
    '255.255.255.255',
    '02:42:00:00:00:00',
    '\0',
    '../..',
  ],
  ...[[], {}, [[0, 4096]], [[4095, 1]], [[-1, 2]], { x: {} }, 'é'.repeat(300), '9'.repeat(400)],
]

type Place = { holder: Record<string, unknown>; key: string }

function places(value: unknown, found: Place[] = []): Place[] {
  if (typeof value !== 'object' || value === null) return found
  for (const [key, child] of Object.entries(value)) {
    found.push({ holder: value as Record<string, unknown>, key })
    places(child, found)
  }
  return found
}

/** A copy of one of the samples in which some values are others, gone, or doubled under another name. */
export function exchanged<T>(samples: readonly T[], random: Random): T {
  const copy = structuredClone(oneOf(random, samples))
  for (let left = below(random, 4); left > 0; left--) {
    const all = places(copy)
    if (all.length === 0) return copy
    const { holder, key } = oneOf(random, all)
    const donor = oneOf(random, all)
    const how = below(random, 5)
    if (how === 0) delete holder[key]
    else if (how === 1) holder[key] = structuredClone(donor.holder[donor.key])
    else if (how === 2) holder[donor.key] = structuredClone(holder[key])
    else holder[key] = structuredClone(oneOf(random, odd))
  }
  return copy
}
