import { varint } from './codec.ts'
import { write } from './message.ts'
import type { Outputs } from './outputs.ts'
import { begin, wholeOf } from './publish.ts'
import { type Entry, kinds } from './record.ts'
import { fence } from './report.ts'
import type { Order, Table } from './table.ts'

/**
 * Orders to forget an origin. Nobody can prove that he may give one, so whom it is about is asked, by what each member sees itself:
 *
 * - Others obey once they have missed it for a while. Until then the order waits; it is void when its origin speaks under that fence.
 * - The origin itself obeys when it may have been away: in a life that hasn't agreed with anybody yet, or when somebody whom it had lost is
 *   back and hasn't been heard out. Else it defies the order: it says all that it has again, under the new fence.
 */

/** Fences higher than this above the known one are nobody's: there would be none left to defy them with. */
const farthest = 1024

const fenceOf = ({ logs, fences }: Table, origin: string): number =>
  Math.max(logs.get(origin)?.fence ?? 0, fences.get(origin) ?? 0)

/** An order as it is written. */
export const orderOf = (origin: string, height: number): Entry => ({
  network: '',
  kind: kinds.fence,
  key: origin,
  value: write(varint, height),
})

/** Takes note of an order that is new; `judge` looks at it at once. */
export function note(table: Table, origin: string, height: number, by: string): void {
  const known = Math.max(fenceOf(table, origin), table.orders.get(origin)?.fence ?? 0)
  if (height <= known || height > fenceOf(table, origin) + farthest) return
  table.orders.set(origin, { fence: height, by, at: Number.NaN })
}

/** What has become of orders by now. */
export function judge(table: Table, now: number): Outputs {
  return [...table.orders].flatMap(([origin, order]) => {
    if (Number.isNaN(order.at)) order.at = now
    if (order.fence <= fenceOf(table, origin)) return drop(table, origin)
    if (origin === table.origin)
      return table.own ? [...drop(table, origin), ...answer(table, order, now)] : []
    if (dueAt(table, origin, order) > now) return []
    table.heirs.set(origin, order.by)
    return [...drop(table, origin), ...fence(table, origin, order.fence, order.by)]
  })
}

/** When an order will count, as things are. */
export function dueAt({ members, settings }: Table, origin: string, { at }: Order): number {
  const member = members.get(origin)
  if (member?.alive) return Number.POSITIVE_INFINITY
  return Math.max(at, member?.since ?? at) + settings.absence
}

/** Whether this member may have been given up for good reason: then it does what it hears about itself. */
export const mayBeLost = (table: Table, now: number): boolean =>
  !table.settled || table.regained(now).length > 0

function answer(table: Table, { fence: height, by }: Order, now: number): Outputs {
  const { own } = table
  if (!own || mayBeLost(table, now)) {
    table.heirs.set(table.origin, by)
    return fence(table, table.origin, height, by)
  }
  const epoch = Math.max(own.epoch, table.log(table.origin).epoch) + 1
  begin(table, epoch, height, wholeOf(table, own), now)
  if (table.own) table.own.held = true
  return [
    { type: 'defied', fence: height, by },
    { type: 'epoch', epoch },
  ]
}

function drop(table: Table, origin: string): Outputs {
  table.orders.delete(origin)
  return []
}
