import { accept, bind, onDelta } from './accept.ts'
import type { Batch } from './batch.ts'
import { decode, Malformed, type Message } from './message.ts'
import { dueAt, judge, orderOf } from './orders.ts'
import type { Output, Outputs } from './outputs.ts'
import { begin, sign, untidy, write } from './publish.ts'
import { type Entry, placeOf } from './record.ts'
import {
  digest,
  hasGap,
  haste,
  isUnsaid,
  onBuckets,
  onDigest,
  onPull,
  onVector,
  pull,
  wantAll,
} from './repair.ts'
import { fence, rejudge, report } from './report.ts'
import { passOn, pick, spread } from './spread.ts'
import type { Errand, Own, Table } from './table.ts'

/** What happens to the table. */
export type Input =
  /** This life begins, under an epoch that no life of this origin ever had (`nextEpoch`) and that is durable. `entries` are all that
   * it says: what an earlier life said beside is taken back. With no entries it is how one leaves for good. */
  | { type: 'start'; epoch: number; fence: number; entries: Entry[] }
  /** New and changed ones; without a value, ones that are taken back. */
  | { type: 'write'; entries: Entry[] }
  /** The epoch of an output `epoch` is durable. */
  | { type: 'epoch'; epoch: number }
  /** What the membership layer knows of somebody. A failed member's records stay; it is only not sent anything. */
  | { type: 'member'; id: string; alive: boolean; key?: Buffer }
  /** The membership layer has forgotten it. Its records stay too. */
  | { type: 'gone'; id: string }
  /** The operator's word that this origin is no more: once they have missed it for a while (`absence`), all drop its records and refuse them
   * until it rejoins under a new fence. */
  | { type: 'forget'; origin: string }
  /** `via` tells how it came: what was gossiped is gossiped on. */
  | { type: 'received'; from: string; via: 'direct' | 'broadcast' | 'stream'; bytes: Buffer }
  /** Who has a right to an address of this network (`rank`) may have changed. */
  | { type: 'ranked'; network: string }
  /** Compare tables with these members now: somebody waits for their agreement. */
  | { type: 'compare'; with: string[] }
  /** Time has passed; see `wakeAt`. */
  | { type: 'tick' }

/**
 * All the protocol: takes one input, changes the table, and returns what the world is to do, in order. Knows no clock (`now` is in
 * milliseconds, of a clock that never goes back) and no chance (`random` gives 0 ≤ x < 1).
 */
export function step(table: Table, input: Input, now: number, random: () => number): Outputs {
  return [...take(table, input, now), ...due(table, now, random)]
}

/** When the table wants a `tick` at the latest. Milliseconds on the clock of `now`. */
export function wakeAt(table: Table): number {
  const { own, errands, digestAt, orders } = table
  const flush = own && !own.held ? own.flushAt : undefined
  const due = [...orders].map(([origin, order]) => dueAt(table, origin, order))
  return Math.min(digestAt, flush ?? digestAt, ...due, ...[...errands.values()].map(({ at }) => at))
}

/**
 * An epoch that no earlier life had: one more than was durable, and at least the seconds since 1970, so that a disk restored from a
 * backup doesn't begin a life that was lived already. A clock that is wrong costs a second start, nothing else.
 */
export const nextEpoch = (durable: number, milliseconds: number): number =>
  Math.max(durable + 1, Math.floor(milliseconds / 1000))

function take(table: Table, input: Input, now: number): Outputs {
  switch (input.type) {
    case 'start':
      return start(table, input, now)
    case 'write':
      if (table.own) write(table, table.own, input.entries, now)
      return []
    case 'epoch':
      if (table.own?.epoch === input.epoch) table.own.held = false
      return []
    case 'member':
      return onMember(table, input, now)
    case 'gone':
      table.members.delete(input.id)
      return []
    case 'forget':
      return forget(table, input.origin, now)
    case 'received':
      return onReceived(table, input, now)
    case 'ranked':
      return rejudge(table, input.network)
    case 'compare':
      return isUnsaid(table) ? [] : input.with.map(to => ({ type: 'direct', to, bytes: digest(table, 1) }))
    case 'tick':
      return []
  }
}

type Of<T extends Input['type']> = Extract<Input, { type: T }>

function start(table: Table, { epoch, fence: height, entries }: Of<'start'>, now: number): Outputs {
  const wanted = table.fences.get(table.origin) ?? 0
  if (height < wanted) return [{ type: 'fenced', fence: wanted }]
  const raised = fence(table, table.origin, height)
  const known = table.log(table.origin).epoch
  begin(table, Math.max(epoch, known + 1), height, entries, now)
  if (known < epoch || !table.own) return raised
  table.own.held = true
  return [...raised, { type: 'epoch', epoch: known + 1 }]
}

function onMember(table: Table, { id, alive, key }: Of<'member'>, now: number): Outputs {
  if (id === table.origin) return []
  const known = table.members.get(id)
  const since = known?.alive === alive ? known.since : now
  const back = known !== undefined && (known.back || !known.alive)
  table.members.set(id, { alive, since, back, agreed: known?.agreed ?? Number.NEGATIVE_INFINITY })
  // Whoever comes (back) may know much that is new, and so may we.
  if (alive && !known?.alive)
    table.digestAt = Math.min(table.digestAt, now + table.settings.digestEvery / haste)
  return key ? bind(table, id, key, id, now) : []
}

function forget(table: Table, origin: string, now: number): Outputs {
  if (origin === table.origin || !table.own) return []
  const height = Math.max(table.logs.get(origin)?.fence ?? 0, table.fences.get(origin) ?? 0) + 1
  write(table, table.own, [orderOf(origin, height)], now)
  return []
}

function onReceived(table: Table, { from, via, bytes }: Of<'received'>, now: number): Outputs {
  const message = decode(bytes)
  if (message instanceof Malformed) return [{ type: 'refused', from, reason: message.reason }]
  if (message.type === 'batch') return onBatch(table, from, via, message.bytes, now)
  return onMessage(table, from, message, now)
}

function onBatch(
  table: Table,
  from: string,
  via: Of<'received'>['via'],
  bytes: Buffer,
  now: number,
): Outputs {
  const { outputs, batch } = accept(table, bytes, from, now)
  return batch && via === 'broadcast' ? [...outputs, { type: 'broadcast', bytes: batch.bytes }] : outputs
}

type Other = Exclude<Message, { type: 'batch' }>

function onMessage(table: Table, from: string, message: Other, now: number): Outputs {
  switch (message.type) {
    case 'relay': {
      const { outputs, batch } = accept(table, message.batch, from, now)
      return batch ? [...outputs, ...passOn(table, batch, message.from, message.to, from)] : outputs
    }
    case 'digest':
      return onDigest(table, from, message, now)
    case 'buckets':
      return onBuckets(table, from, message)
    case 'vector':
      return onVector(table, from, message, now)
    case 'pull':
      return onPull(table, from, message)
    case 'delta':
      return onDelta(table, from, message, now)
  }
}

/** What time has come for. */
function due(table: Table, now: number, random: () => number): Outputs {
  const outputs = told(table, now, random)
  return [...outputs, ...judge(table, now)]
}

function told(table: Table, now: number, random: () => number): Outputs {
  const { own } = table
  const flushed = own && !own.held && own.flushAt !== undefined && own.flushAt <= now
  const outputs = flushed ? flush(table, own, now, random) : []
  const asked = ask(table, now, random)
  if (table.digestAt > now) return [...outputs, ...asked]
  return [...outputs, ...asked, ...round(table, now, random)]
}

function flush(table: Table, own: Own, now: number, random: () => number): Outputs {
  const batches = sign(table, own, now)
  const swaps = batches.flatMap((batch: Batch) => table.log(table.origin).merge(batch, now))
  return [...spread(table, batches, random), ...report(table, swaps)]
}

/** Asks for what is missing, of somebody else each time. */
function ask(table: Table, now: number, random: () => number): Outputs {
  const late = [...table.errands].filter(([, { at }]) => at <= now)
  return late.flatMap(([origin, errand]) => {
    const log = table.log(origin)
    const known = log.key && hasGap(log)
    if (!known && !table.strangers.has(origin)) table.errands.delete(origin)
    else table.errands.set(origin, again(table, errand, now, random))
    if (known) return pull(errand.ask, [wantAll(log)])
    return table.strangers.has(origin) ? pull(errand.ask, [wantAll(log)]) : []
  })
}

function again(table: Table, { ask }: Errand, now: number, random: () => number): Errand {
  const [other = ask] = pick(table.alive(), 1, random)
  return { at: now + table.settings.retryAfter, ask: other }
}

/** Once a second: compares tables with somebody, and tidies up. */
function round(table: Table, now: number, random: () => number): Output[] {
  const { digestEvery } = table.settings
  table.restUntil = now + digestEvery * (0.9 + random() * 0.2)
  table.digestAt = now + digestEvery / haste
  tidy(table, now)
  if (isUnsaid(table)) return []
  const whom = [...pick(table.alive(), 1, random), ...pick(table.regained(now), 1, random)]
  return [...new Set(whom)].map(to => ({
    type: 'direct',
    to,
    bytes: digest(table, 1),
  }))
}

function tidy(table: Table, now: number): void {
  const agreed = Math.min(now, ...[...table.members.values()].map(member => member.agreed))
  for (const log of table.logs.values()) log.bury(Math.max(agreed, now - table.settings.tombstoneAge))
  for (const [origin, { until }] of table.strangers) if (until <= now) table.strangers.delete(origin)
  const { own } = table
  if (!own || own.held) return
  for (const entry of untidy(table.log(table.origin))) {
    own.flushAt ??= now
    own.pending.set(placeOf(entry), entry)
  }
}
