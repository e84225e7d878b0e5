import { type Batch, frame, makeBatch, weight } from './batch.ts'
import type { Sum } from './codec.ts'
import type { Log } from './log.ts'
import { datagramLimit } from './message.ts'
import { type Entry, minus, placeOf, plus, sumOf } from './record.ts'
import type { Own, Table } from './table.ts'

/** Begins a life: what is written so far by this origin is what `entries` say, and nothing else. */
export function begin(
  table: Table,
  epoch: number,
  fence: number,
  entries: readonly Entry[],
  now: number,
): void {
  const pending = new Map(entries.map(entry => [placeOf(entry), entry]))
  table.own = { epoch, fence, seq: 0, pending, flushAt: now, flushed: Number.NEGATIVE_INFINITY, held: false }
}

/** Takes in what the caller wants to say. What is said already costs nothing. */
export function write(table: Table, own: Own, entries: readonly Entry[], now: number): void {
  for (const entry of entries) {
    const place = placeOf(entry)
    own.pending.delete(place)
    if (!alike(table.log(table.origin).at(place)?.value, entry.value)) own.pending.set(place, entry)
  }
  if (own.pending.size > 0) own.flushAt ??= Math.max(now, own.flushed + table.settings.flushEvery)
}

/** Signs what is pending. The first batch of a life is signed even when there is nothing to say: it takes the last life's words back. */
export function sign(table: Table, own: Own, now: number): Batch[] {
  const log = table.log(table.origin)
  const entries = [...own.pending.values()]
  const parcels = pack(entries)
  const sum = sumAfter(own.seq === 0 ? undefined : log, entries)
  own.pending.clear()
  own.flushAt = undefined
  own.flushed = now
  return parcels.map((parcel, at) => {
    const { origin, signer } = table.settings
    const more = at < parcels.length - 1
    const { fence, epoch } = own
    const batch = makeBatch({ origin, fence, epoch, first: own.seq + 1, more, sum, entries: parcel }, bytes =>
      signer.sign(bytes),
    )
    own.seq = batch.last
    return batch
  })
}

/** Everything that this origin says, said and pending. */
export function wholeOf(table: Table, own: Own): Entry[] {
  const said = [...table.log(table.origin).visible()].filter(row => !own.pending.has(placeOf(row)))
  return [...said, ...own.pending.values()].filter(({ value }) => value)
}

/**
 * What to say again so that others have fewer batches to fetch and to check: a container that starts alone has a batch of its own.
 * Each record is repeated about once in its life.
 */
export function untidy(log: Log): Entry[] {
  const sparse = [...log.batches.values()].filter(kept => kept !== log.head && kept.live < full / 4)
  if (sparse.length < full) return []
  const chosen = new Set(sparse.slice(0, full))
  return [...log.rows.values()].filter(({ kept, value }) => value && chosen.has(kept))
}

/** Records that a datagram holds, about. */
const full = 16

/** Cuts entries into parcels that fit into a datagram each, but for an entry that is too big by itself. */
function pack(entries: readonly Entry[]): Entry[][] {
  const parcels: Entry[][] = [[]]
  let room = datagramLimit - frame
  for (const entry of entries) {
    room -= weight(entry)
    const current = parcels.at(-1) ?? []
    if (room >= 0 || current.length === 0) current.push(entry)
    else {
      parcels.push([entry])
      room = datagramLimit - frame - weight(entry)
    }
  }
  return parcels
}

function sumAfter(log: Log | undefined, entries: readonly Entry[]): Sum {
  return entries.reduce<Sum>((sum, entry) => {
    const before = log?.rows.get(placeOf(entry))
    const without = before ? minus(sum, before.sum) : sum
    return entry.value ? plus(without, sumOf(entry)) : without
  }, log?.sum ?? [0, 0])
}

const alike = (a: Buffer | undefined, b: Buffer | undefined) => a === b || Boolean(a && b?.equals(a))
