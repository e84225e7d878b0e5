import { type Batch, isSigned, readBatch } from './batch.ts'
import { type Body, Malformed } from './message.ts'
import type { Outputs } from './outputs.ts'
import { begin, wholeOf } from './publish.ts'
import { hasGap, pull, wantAll } from './repair.ts'
import { report } from './report.ts'
import type { Own, Table } from './table.ts'

/** Batches that are kept of somebody whose key isn't known yet, and how many such there may be. */
const strangerBatches = 32
const strangers = 256

/** `batch` is there when it told something new. */
export type Accepted = { outputs: Outputs; batch?: Batch }

/** Takes a batch that came from anybody. What has been seen before costs no signature. */
export function accept(table: Table, bytes: Buffer, from: string, now: number): Accepted {
  const batch = readBatch(bytes)
  if (batch instanceof Malformed) return refuse(from, batch.reason)
  const { origin } = batch
  if (batch.fence < (table.fences.get(origin) ?? 0)) return refuse(from, `${origin} was forgotten`)
  const log = table.logs.get(origin)
  if (!log?.key) return keepForLater(table, batch, from, now)
  const { key } = log
  const isOurs = origin === table.origin && table.own
  if (!isOurs && log.has(batch)) return { outputs: [] }
  if (isOurs && isKnown(table, isOurs, batch)) return { outputs: [] }
  if (!isSigned(batch, (content, signature) => table.settings.signer.verify(key, content, signature)))
    return refuse(from, `not signed by its origin ${origin}`)
  if (isOurs) return { outputs: refute(table, isOurs, batch, now) }
  const outputs = report(table, log.merge(batch, now))
  minds(table, origin, from, now)
  return { outputs, batch }
}

/** Takes a holder's answer: batches, and the claim that they are all there is. */
export function onDelta(table: Table, from: string, delta: Body<'delta'>, now: number): Outputs {
  const { origin, key, epoch, ranges, more } = delta
  if (table.fences.has(origin) && !table.logs.has(origin) && delta.batches.length === 0) return []
  const bound = bind(table, origin, key, from, now)
  const log = table.logs.get(origin)
  if (!log?.key?.equals(key)) return bound
  const before = log.last
  const mixed = delta.batches.map(bytes => accept(table, bytes, from, now).outputs)
  const outputs = [...bound, ...mixed.flat()]
  if (origin === table.origin && table.own) return outputs
  if (log.epoch === epoch) for (const range of ranges) outputs.push(...report(table, log.cover(range)))
  minds(table, origin, from, now)
  if (more === 2 && log.last > before) outputs.push(...pull(from, [wantAll(log)]))
  return outputs
}

/** Learns whose key an origin's is, from the membership layer or from a holder of its records. A pinned one stays. */
export function bind(table: Table, origin: string, key: Buffer, from: string, now: number): Outputs {
  const log = table.log(origin)
  if (log.key)
    return log.key.equals(key) ? [] : refuse(from, `another key for ${origin} than the pinned one`).outputs
  if (key.length !== 32 || !table.settings.certifies(origin, key))
    return refuse(from, `no key of ${origin}`).outputs
  log.key = Buffer.from(key)
  const waiting = table.strangers.get(origin)?.batches ?? []
  table.strangers.delete(origin)
  const late = waiting.flatMap(bytes => accept(table, bytes, from, now).outputs)
  return [{ type: 'pin', origin, key: log.key }, ...late]
}

/** Asks soon for what is missing: of the origin when it lives, else of who showed that there is more. */
function minds(table: Table, origin: string, from: string, now: number): void {
  const log = table.logs.get(origin)
  if (!log || !hasGap(log)) table.errands.delete(origin)
  else if (!table.errands.has(origin)) {
    const ask = table.members.get(origin)?.alive ? origin : from
    table.errands.set(origin, { at: now + table.settings.gapDelay, ask })
  }
}

/** A holder's answer brings the key; its origin's first words wait for it. */
function keepForLater(table: Table, { origin, bytes }: Batch, from: string, now: number): Accepted {
  const until = now + table.settings.strangerAge
  const stranger = table.strangers.get(origin) ?? { batches: [], until }
  if (!table.strangers.has(origin) && table.strangers.size >= strangers)
    return refuse(from, 'too many unknown origins')
  table.strangers.set(origin, stranger)
  if (stranger.batches.length < strangerBatches) stranger.batches.push(bytes)
  if (!table.errands.has(origin)) table.errands.set(origin, { at: now, ask: from })
  return { outputs: [] }
}

function isKnown(table: Table, own: Own, { epoch, first, last, bytes }: Batch): boolean {
  if (epoch !== own.epoch) return epoch < own.epoch
  const ours = table.log(table.origin).batches.get(first)
  return last <= own.seq && (!ours || ours.batch.bytes.equals(bytes))
}

/** Somebody has words of ours that we never said in this life: this disk is an old one. All is said again in a life after that. */
function refute(table: Table, own: Own, { epoch }: Batch, now: number): Outputs {
  begin(table, epoch + 1, own.fence, wholeOf(table, own), now)
  if (table.own) table.own.held = true
  return [{ type: 'epoch', epoch: epoch + 1 }]
}

const refuse = (from: string, reason: string): Accepted => ({ outputs: [{ type: 'refused', from, reason }] })
