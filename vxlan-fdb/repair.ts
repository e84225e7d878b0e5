import type { Batch } from './batch.ts'
import type { Sum } from './codec.ts'
import type { Log } from './log.ts'
import { type Body, bucketCount, encode, type Mark, streamLimit, type Want } from './message.ts'
import type { Outputs } from './outputs.ts'
import { common, gaps, type Ranges } from './ranges.ts'
import { plus, same } from './record.ts'
import { markSum, type Table } from './table.ts'

/** Messages that one question is answered by: the rest is asked for again, so that nobody has to hold megabytes for a slow reader. */
const answerLimit = 4

/** Comparing parts costs a connection: once a mismatch was followed up, the next one waits this long. Milliseconds. */
const compareEvery = 300

/** How much more often tables are compared as long as nobody has agreed. */
export const haste = 4

const openEnd = Number.MAX_SAFE_INTEGER - 1

/** First six bits. */
const bucketOf = (origin: string): number => Number.parseInt(origin.slice(0, 2), 16) >>> 2

/** A mark's number is asked for each second, and a mark seldom changes. */
const known = new WeakMap<Log, Mark & { sum: Sum }>()

function sumOf(log: Log): Sum {
  const { origin, fence, epoch, upto } = log
  const last = known.get(log)
  if (last && last.fence === fence && last.epoch === epoch && last.upto === upto) return last.sum
  const sum = markSum({ origin, fence, epoch, upto })
  known.set(log, { origin, fence, epoch, upto, sum })
  return sum
}

function buckets(table: Table): Sum[] {
  const sums = Array.from({ length: bucketCount }, (): Sum => [0, 0])
  for (const log of table.logs.values()) {
    if (log.epoch === 0) continue
    const at = bucketOf(log.origin)
    sums[at] = plus(sums[at] ?? [0, 0], sumOf(log))
  }
  return sums
}

const rootOf = (table: Table): Sum => buckets(table).reduce(plus, [0, 0])

/** The whole table in ten bytes: for the payload of an ack, or anything else that reaches members now and then. */
export const digest = (table: Table, ask = 0): Buffer => encode('digest', { ask, root: rootOf(table) })

/**
 * Whether this member has words that aren't in its table yet. It then agrees with nobody: who hears that tables were equal may rely on
 * having heard all that the other one had said or decided to say.
 */
export const isUnsaid = ({ own }: Table): boolean => own !== undefined && (own.held || own.pending.size > 0)

export function onDigest(table: Table, from: string, { ask, root }: Body<'digest'>, now: number): Outputs {
  if (isUnsaid(table)) return []
  const answer: Outputs = ask === 1 ? [{ type: 'direct', to: from, bytes: digest(table) }] : []
  const member = table.members.get(from)
  if (same(root, rootOf(table))) {
    if (member) member.agreed = now
    table.settled = true
    table.digestAt = Math.max(table.digestAt, table.restUntil)
    return [...answer, { type: 'agreed', member: from }]
  }
  table.restUntil = now
  table.digestAt = Math.min(table.digestAt, now + table.settings.digestEvery / haste)
  if (ask === 1 || now < table.comparedAt + compareEvery) return answer
  table.comparedAt = now
  return [{ type: 'stream', to: from, bytes: encode('buckets', { sums: buckets(table) }) }]
}

export function onBuckets(table: Table, from: string, { sums }: Body<'buckets'>): Outputs {
  const mine = buckets(table)
  const differing = mine.flatMap((sum, at) => (same(sum, sums[at] ?? [0, 0]) ? [] : [at]))
  return differing.length > 0 ? [vector(table, from, differing, 1)] : []
}

/** Asks for what the other one has more of; tells what we have, once. */
export function onVector(
  table: Table,
  from: string,
  { ask, buckets, marks }: Body<'vector'>,
  now: number,
): Outputs {
  const wants = marks.flatMap(mark => wantOf(table, mark))
  for (const { origin } of wants)
    table.errands.set(origin, { at: now + table.settings.retryAfter, ask: from })
  const mine = ask === 1 ? [vector(table, from, buckets, 0)] : []
  return [...mine, ...pull(from, wants)]
}

export function pull(to: string, wants: readonly Want[]): Outputs {
  const portions = Array.from({ length: Math.ceil(wants.length / 512) }, (_, at) =>
    wants.slice(at * 512, (at + 1) * 512),
  )
  return portions.map(wants => ({ type: 'stream', to, bytes: encode('pull', { wants }) }))
}

/** What is missing of a log as far as we know. */
export function wantAll({ origin, epoch, covered, last }: Log): Want {
  const missing = gaps(covered, last).slice(0, 63)
  return { origin, epoch, gaps: [...missing, [last + 1, openEnd]] }
}

export const hasGap = ({ epoch, upto, last }: Log): boolean => epoch > 0 && upto < last

export function onPull(table: Table, from: string, { wants }: Body<'pull'>): Outputs {
  return wants.flatMap(want => answer(table, from, want))
}

function wantOf(table: Table, mark: Mark): Want[] {
  if (mark.fence < (table.fences.get(mark.origin) ?? 0)) return []
  const log = table.logs.get(mark.origin)
  if (!log || mark.epoch > log.epoch)
    return [{ origin: mark.origin, epoch: mark.epoch, gaps: [[1, openEnd]] }]
  if (mark.epoch < log.epoch || mark.upto <= log.upto) return []
  return [wantAll(log)]
}

/** A vector of many origins is longer than a datagram, and a lost one costs a round: it goes as the buckets did. */
function vector(table: Table, to: string, differing: readonly number[], ask: number): Outputs[number] {
  const wanted = new Set(differing)
  const marks = table.marks(origin => wanted.has(bucketOf(origin))).slice(0, 1500)
  return { type: 'stream', to, bytes: encode('vector', { ask, buckets: [...differing], marks }) }
}

function answer(table: Table, to: string, want: Want): Outputs {
  const log = table.logs.get(want.origin)
  if (!log?.key || log.epoch < want.epoch || log.epoch === 0) return []
  const asked = log.epoch > want.epoch ? whole : want.gaps
  const ranges = common(asked, log.covered)
  const messages = fill(log.within(ranges))
  const key = log.key
  return messages.slice(0, answerLimit).map((batches, at) => {
    const more = at < messages.length - 1 ? (at === answerLimit - 1 ? 2 : 1) : 0
    const head = { origin: log.origin, key, epoch: log.epoch, more }
    const bytes = encode('delta', {
      ...head,
      ranges: claimed(ranges, messages, at),
      batches: batches.map(({ bytes }) => bytes),
    })
    return { type: 'stream', to, bytes }
  })
}

/** What is sent with a message: everything up to its last batch; with the last message, everything. */
function claimed(ranges: Ranges, messages: readonly Batch[][], at: number): Ranges {
  const from = at === 0 ? 1 : (messages[at - 1]?.at(-1)?.last ?? 0) + 1
  const to = at === messages.length - 1 ? openEnd : (messages[at]?.at(-1)?.last ?? 0)
  return common(ranges, [[from, to]]).slice(0, 1024)
}

const whole: Ranges = [[1, openEnd]]

/** Batches in messages as full as they may be; one message when there is none. */
function fill(batches: readonly Batch[]): Batch[][] {
  const messages: Batch[][] = [[]]
  // The ranges of a message take up to 16 bytes each, its head less than 100.
  const limit = streamLimit - 17 * 1024
  let size = 0
  for (const batch of batches) {
    size += batch.bytes.length + 3
    if (size > limit && messages.at(-1)?.length) {
      messages.push([])
      size = batch.bytes.length + 3
    }
    messages.at(-1)?.push(batch)
  }
  return messages
}
