import type { Batch } from './batch.ts'
import { datagramLimit, encode } from './message.ts'
import type { Outputs } from './outputs.ts'
import type { Table } from './table.ts'

/** More batches than these at a time would stop up the gossip queue, which drains about 20 a second; gaps are asked for anyway. */
const gossiped = 4

/** Members that each slice of a big cluster is entrusted to: one datagram may be lost, and receivers see a copy cheaply. */
const relays = 2

const lowest = '0'.repeat(32)
const highest = 'f'.repeat(32)

/**
 * Sends new batches of our own: straight to whom they concern, and into the gossip queue as the second way.
 */
export function spread(table: Table, batches: readonly Batch[], random: () => number): Outputs {
  const straight = batches.flatMap(batch => sendOut(table, batch, random))
  const small = batches.filter(({ bytes }) => bytes.length <= datagramLimit)
  if (small.length > gossiped) return straight
  return [...straight, ...small.map(({ bytes }) => ({ type: 'broadcast' as const, bytes }))]
}

/** Everybody of the networks while they are few. Of many, some get it with a slice of the others to pass it on to. */
function sendOut(table: Table, batch: Batch, random: () => number): Outputs {
  const targets = audience(table, batch)
  if (targets.length <= table.settings.direct) return targets.map(to => send(to, batch.bytes))
  const sorted = targets.sort()
  const size = Math.ceil(Math.sqrt(sorted.length))
  const slices = Array.from({ length: Math.ceil(sorted.length / size) }, (_, at) => at * size)
  return slices.flatMap(at => {
    const from = at === 0 ? lowest : (sorted[at] ?? highest)
    const to = sorted[at + size] ?? highest
    const bytes = encode('relay', { from, to, batch: batch.bytes })
    return pick(sorted.slice(at, at + size), relays, random).map(member => send(member, bytes))
  })
}

/** Passes on what was new to a member that was asked to: to the others of its slice. */
export function passOn(table: Table, batch: Batch, from: string, to: string, sender: string): Outputs {
  return audience(table, batch)
    .filter(
      member =>
        from <= member && (member < to || to === highest) && member !== sender && member !== batch.origin,
    )
    .map(member => send(member, batch.bytes))
}

/**
 * Living members that a batch concerns. In a cluster within the limit that is everybody: the first endpoints of a network start on
 * several hosts at once, before they know of each other. In a bigger one, the network's hosts.
 */
function audience(table: Table, batch: Batch): string[] {
  const alive = table.alive()
  if (alive.length <= table.settings.direct || batch.entries.some(({ network }) => network === ''))
    return alive
  const hosts = batch.entries.map(({ network }) => table.hosts.get(network))
  const wanted = new Set(hosts.flatMap(one => [...(one?.keys() ?? [])]))
  return alive.filter(member => wanted.has(member))
}

/** One too big for a datagram goes by a connection. */
const send = (to: string, bytes: Buffer) =>
  ({ type: bytes.length <= datagramLimit ? 'direct' : 'stream', to, bytes }) as const

/** Some of a list, each at most once. */
export function pick<T>(from: readonly T[], count: number, random: () => number): T[] {
  const left = [...from]
  return Array.from({ length: Math.min(count, left.length) }, () => {
    const at = Math.floor(random() * left.length)
    const [one] = left.splice(at, 1)
    return one as T
  })
}
