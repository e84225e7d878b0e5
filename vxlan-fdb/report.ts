import { varint } from './codec.ts'
import { Log } from './log.ts'
import { Malformed, read } from './message.ts'
import { note } from './orders.ts'
import type { Outputs } from './outputs.ts'
import { changesOf, kinds, type Swap } from './record.ts'
import type { Table } from './table.ts'

/** Brings what derives from rows up to date, and tells what of it is new. */
export function report(table: Table, swaps: readonly Swap[]): Outputs {
  const claims = new Set(swaps.flatMap(swap => table.note(swap)))
  const changes = swaps.flatMap(changesOf)
  const told: Outputs = changes.length > 0 ? [{ type: 'changed', changes }] : []
  readOrders(table, swaps)
  return [...told, ...[...claims].flatMap(claim => contest(table, claim))]
}

/** Raises the fence of an origin: what it said under a lower one is dropped, and what it says so is refused. */
export function fence(table: Table, origin: string, height: number, by?: string): Outputs {
  if (height <= (table.fences.get(origin) ?? 0)) return []
  table.fences.set(origin, height)
  const outputs: Outputs = [{ type: 'fence', origin, fence: height, by }]
  if (origin === table.origin && table.own && table.own.fence < height) {
    table.own = undefined
    outputs.push({ type: 'fenced', fence: height })
  }
  return [...outputs, ...drop(table, origin, height)]
}

function drop(table: Table, origin: string, height: number): Outputs {
  const log = table.logs.get(origin)
  if (!log || log.fence >= height) return []
  const empty = new Log(origin)
  empty.key = log.key
  table.logs.set(origin, empty)
  table.errands.delete(origin)
  return report(
    table,
    [...log.visible()].map(before => ({ before })),
  )
}

function readOrders(table: Table, swaps: readonly Swap[]): void {
  for (const { after } of swaps) {
    if (after?.kind !== kinds.fence || !after.value || !/^[0-9a-f]{32}$/.test(after.key)) continue
    const height = read(varint, after.value)
    if (!(height instanceof Malformed)) note(table, after.key, height, after.origin)
  }
}

/** Who has a right to what may be another now: looks at what is contested in a network again. */
export function rejudge(table: Table, network: string): Outputs {
  const claims = [...table.conflicts.keys()].filter(claim => claim.startsWith(`${network}\0`))
  return claims.flatMap(claim => contest(table, claim))
}

function contest(table: Table, claim: string): Outputs {
  const conflict = table.claims.conflict(claim)
  const rivals =
    conflict && [conflict.winner, ...conflict.losers].map(({ origin, key }) => `${origin} ${key}`).join()
  if (rivals === table.conflicts.get(claim)) return []
  if (rivals && conflict) {
    table.conflicts.set(claim, rivals)
    table.incumbents.set(claim, conflict.winner.origin)
  } else {
    table.conflicts.delete(claim)
    table.incumbents.delete(claim)
  }
  return [{ type: 'conflict', claim, conflict }]
}
