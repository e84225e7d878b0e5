import type { PeerTable } from '../../core/peers.ts'
import type { Table } from '../../vxlan-fdb/index.ts'
import { type Moves, takeOverBlocks } from './others.ts'
import type { Pools } from './pools.ts'
import type { Prefixes } from './prefixes.ts'

export type WaysParts = {
  pools: Pools
  prefixes: Prefixes
  table: Table
  peers: PeerTable
  /** Hears what moved, for the kernel. */
  moved: (moves: Moves) => void
  /** Whose the addresses of a network are may be known otherwise now. */
  ranked: (network: string) => void
}

type Pool = { network: string; pool: string }

/** Whose a block of addresses is: by what hosts gave each other, or, where somebody else divides the pool, by what he gave them. */
export class Ways {
  readonly #parts: WaysParts

  constructor(parts: WaysParts) {
    this.#parts = parts
  }

  /** Whether an address lies in a block of a host. What a network had before somebody else divided it counts no more. */
  owns(network: string, address: Buffer, host: string): boolean {
    const { pools, prefixes } = this.#parts
    const isDivided = prefixes.pools().some(each => each.network === network)
    return (isDivided ? prefixes : pools).owns(network, address, host)
  }

  /** Hosts are reached otherwise now, or some of them count no more. */
  moveAll(): void {
    const { pools, prefixes } = this.#parts
    this.move([...pools.pools(), ...prefixes.pools()])
  }

  /** Whose blocks of these pools are may be known otherwise now. */
  move(all: readonly Pool[]): void {
    const { table, peers, moved, ranked } = this.#parts
    for (const network of new Set(all.map(each => each.network))) ranked(network)
    const places = all.flatMap(each => takeOverBlocks(table, peers, each, this.#elsewhere(each)) ?? [])
    if (places.length > 0) moved({ places, members: [] })
  }

  #elsewhere({ network, pool }: Pool): Map<string, string> {
    const { pools, prefixes } = this.#parts
    return (prefixes.has(network, pool) ? prefixes : pools).elsewhere(network, pool)
  }
}
