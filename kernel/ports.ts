import { closeSync } from 'node:fs'
import { bindPort } from '@tsnet/netlink'
import type { PortRow, Row } from '../core/rows.ts'
import { key } from '../core/rows.ts'
import { about, type Ordered } from './order.ts'
import { failure, type Report, type Room } from './room.ts'

/** Host ports that we keep others from taking. They are as long-lived as this object. */
export class Ports implements Room {
  readonly #held = new Map<string, { row: PortRow; fd: number | undefined }>()

  read(rows: readonly Row[], owned: boolean): Row[] {
    if (owned) return [...this.#held.values()].map(({ row }) => row)
    return rows.flatMap(row => (row.kind === 'port' ? (this.#held.get(key(row))?.row ?? []) : []))
  }

  apply(steps: Ordered, report: Report): void {
    for (const { at, step } of about(steps, 'port')) {
      try {
        step.verb === 'delete' ? this.#release(key(step.row)) : this.#hold(step.row)
        report(at)
      } catch (error) {
        report(at, failure(error))
      }
    }
  }

  #hold(row: PortRow): void {
    this.#held.set(key(row), { row, fd: bind(row) })
  }

  #release(at: string): void {
    const held = this.#held.get(at)
    if (held?.fd !== undefined) closeSync(held.fd)
    this.#held.delete(at)
  }

  close(): void {
    for (const at of [...this.#held.keys()]) this.#release(at)
  }
}

/** A kernel without SCTP has nobody who could take its ports, and no socket that could hold them. */
function bind({ proto, address, port }: PortRow): number | undefined {
  try {
    return bindPort({ proto, address, port }).fd
  } catch (error) {
    if (proto === 'sctp' && failure(error).code === 'EPROTONOSUPPORT') return undefined
    throw error
  }
}
