import { varint } from './codec.ts'
import { Log } from './log.ts'
import { Malformed, read } from './message.ts'
import type { Outputs } from './outputs.ts'
import { changesOf, kinds, type Swap } from './record.ts'
import type { Table } from './table.ts'

/** Brings what derives from rows up to date, and tells what of it is new. */
export function report(table: Table, swaps: readonly Swap[]): Outputs {
  const claims = new Set(swaps.flatMap(swap => table.note(swap)))
  const changes = swaps.flatMap(changesOf)
  const told: Outputs = changes.length > 0 ? [{ type: 'changed', changes }] : []
  return [...told, ...[...claims].flatMap(claim => contest(table, claim)), ...fencesIn(table, swaps)]
}

/** Raises the fence of an origin: what it said under a lower one is dropped, and what it says so is refused. */
export function fence(table: Table, origin: string, height: number): Outputs {
  if (height <= (table.fences.get(origin) ?? 0)) return []
  table.fences.set(origin, height)
  const outputs: Outputs = [{ type: 'fence', origin, fence: height }]
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

function fencesIn(table: Table, swaps: readonly Swap[]): Outputs {
  return swaps.flatMap(({ after }) => {
    if (after?.kind !== kinds.fence || !after.value || !table.settings.mayForget(after.origin)) return []
    const height = read(varint, after.value)
    return height instanceof Malformed || !/^[0-9a-f]{32}$/.test(after.key)
      ? []
      : fence(table, after.key, height)
  })
}

function contest(table: Table, claim: string): Outputs {
  const conflict = table.claims.conflict(claim)
  const rivals =
    conflict && [conflict.winner, ...conflict.losers].map(({ origin, key }) => `${origin} ${key}`).join()
  if (rivals === table.conflicts.get(claim)) return []
  if (rivals) table.conflicts.set(claim, rivals)
  else table.conflicts.delete(claim)
  return [{ type: 'conflict', claim, conflict }]
}
