import type { PeerTable } from '../../core/peers.ts'
import type { Table } from '../../vxlan-fdb/index.ts'
import { vteps } from './others.ts'

/** Milliseconds after which networks are made and removed by what those say who answered. */
const PATIENCE = 30_000

export type ReunionParts = {
  table: Table
  peers: PeerTable
  isForgotten: (host: string) => boolean
  /** Hears that all is known that others know: of every host that was ever known, or, before, of all that answered in a while. */
  heard: () => void
}

/**
 * When a host that has just started knows what the others know. Two of them that have both just started agree on little: what is in the
 * kernel stays until every host that was known before has been heard of, by itself or by whoever kept its records.
 */
export class Reunion {
  readonly #parts: ReunionParts
  #agreed = false
  #lateness: NodeJS.Timeout | undefined

  constructor(parts: ReunionParts) {
    this.#parts = parts
  }

  /** Whether somebody's table was equal to ours in this life. */
  get agreed(): boolean {
    return this.#agreed
  }

  /** Somebody's table is equal to ours, so nothing that he knows is unknown here. */
  agree(): void {
    const { table, peers, heard } = this.#parts
    if (!this.#agreed) this.#lateness = setTimeout(heard, PATIENCE).unref()
    this.#agreed = true
    if (peers.heard() || !this.#isWhole()) return
    clearTimeout(this.#lateness)
    peers.setHeard()
    peers.setMembers(vteps(table))
    heard()
  }

  close(): void {
    clearTimeout(this.#lateness)
  }

  #isWhole(): boolean {
    const { table, isForgotten } = this.#parts
    const known = [...table.logs.values()].filter(({ key, origin }) => key && origin !== table.origin)
    return known.every(({ epoch, origin }) => epoch > 0 || isForgotten(origin))
  }
}
