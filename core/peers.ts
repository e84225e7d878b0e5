import { Blocks, differing } from './blocks.ts'
import type { Peers, Place, Remote, Underlay } from './faces.ts'

/** A host that knows of no other. */
export const alone: Peers = {
  self: undefined,
  remotes: () => [],
  byMac: () => undefined,
  byAddress: () => undefined,
  holders: () => new Set(),
  blocks: () => new Map(),
  covers: () => false,
  complete: () => true,
  members: () => new Set(),
  heard: () => true,
}

type Known = {
  macs: Map<string, Remote>
  /** Who claims an address, the winner first. */
  addresses: Map<string, Remote[]>
  vteps: Map<string, number>
  /** By their pool. */
  blocks: Map<string, Blocks>
  complete: boolean
}

/** What peers told, in memory. Every change answers the place that it touched, for `Engine.moved`. */
export class PeerTable implements Peers {
  self: Underlay | undefined
  readonly #networks = new Map<string, Known>()
  #members = new Set<string>()
  #heard = false

  constructor(self?: Underlay) {
    this.self = self
  }

  remotes(network: string): Iterable<Remote> {
    return this.#networks.get(network)?.macs.values() ?? []
  }

  byMac(network: string, mac: string): Remote | undefined {
    return this.#networks.get(network)?.macs.get(mac)
  }

  byAddress(network: string, address: string): Remote | undefined {
    return this.#networks.get(network)?.addresses.get(address)?.[0]
  }

  holders(network: string): ReadonlySet<string> {
    return new Set(this.#networks.get(network)?.vteps.keys())
  }

  blocks(network: string, pools: readonly string[]): ReadonlyMap<string, string> {
    return new Map(this.#blocks(network, pools).flatMap(each => [...each.vteps]))
  }

  covers(network: string, pools: readonly string[], address: string, vtep?: string): boolean {
    return this.#blocks(network, pools).some(each => each.covers(address, vtep))
  }

  complete(network: string): boolean {
    return this.#heard || (this.#networks.get(network)?.complete ?? false)
  }

  members(): ReadonlySet<string> {
    return this.#members
  }

  heard(): boolean {
    return this.#heard
  }

  /** Answers those who came or went, for `Engine.joined`. */
  setMembers(vteps: Iterable<string>): string[] {
    const before = this.#members
    this.#members = new Set(vteps)
    return [...before.symmetricDifference(this.#members)]
  }

  /** All that others know of any network has been heard. */
  setHeard(): void {
    this.#heard = true
  }

  /** As at the start of a daemon: nothing is known, and so nothing that was known is wrong. */
  reset(): void {
    this.#networks.clear()
    this.#members = new Set()
    this.#heard = false
  }

  setComplete(network: string, complete = true): void {
    this.#known(network).complete = complete
  }

  /** An endpoint that is new, or isn't what or where it was. MACs are in lower case, addresses as `inet_ntop` writes them. */
  put(network: string, remote: Remote): Place {
    const known = this.#known(network)
    const was = this.#take(known, remote.mac)
    known.macs.set(remote.mac, remote)
    known.vteps.set(remote.vtep, (known.vteps.get(remote.vtep) ?? 0) + 1)
    for (const address of remote.addresses)
      known.addresses.set(address, [remote, ...(known.addresses.get(address) ?? [])])
    return place(network, was, remote)
  }

  /** Undefined when there was nothing. */
  drop(network: string, mac: string): Place | undefined {
    const was = this.#take(this.#known(network), mac)
    return was && place(network, was)
  }

  /** All blocks of a pool that other hosts give addresses of, and where those hosts are. Undefined when that is no news. */
  setBlocks(network: string, pool: string, vteps: ReadonlyMap<string, string>): Place | undefined {
    const known = this.#known(network)
    const before = known.blocks.get(pool)?.vteps ?? new Map<string, string>()
    const changed = differing(before, vteps)
    if (changed.size === 0) return undefined
    known.blocks.set(pool, new Blocks(vteps))
    const inThem = new Blocks(changed)
    const touched = [...known.macs.values()].filter(({ addresses }) =>
      addresses.some(each => inThem.covers(each)),
    )
    const { vteps: ends, ...rest } = place(network, ...touched)
    const moved = [...changed.keys()].flatMap(each => [before, vteps].flatMap(ends => ends.get(each) ?? []))
    return { ...rest, vteps: [...new Set([...ends, ...moved])], blocks: [...changed.keys()] }
  }

  #blocks(network: string, pools: readonly string[]): Blocks[] {
    const known = this.#networks.get(network)?.blocks
    return pools.flatMap(pool => known?.get(pool) ?? [])
  }

  #known(network: string): Known {
    const known = this.#networks.get(network) ?? {
      macs: new Map(),
      addresses: new Map(),
      vteps: new Map(),
      blocks: new Map(),
      complete: false,
    }
    this.#networks.set(network, known)
    return known
  }

  #take({ macs, addresses, vteps }: Known, mac: string): Remote | undefined {
    const was = macs.get(mac)
    if (!was) return undefined
    macs.delete(mac)
    for (const address of was.addresses) {
      const left = (addresses.get(address) ?? []).filter(each => each !== was)
      if (left.length > 0) addresses.set(address, left)
      else addresses.delete(address)
    }
    const count = (vteps.get(was.vtep) ?? 1) - 1
    if (count > 0) vteps.set(was.vtep, count)
    else vteps.delete(was.vtep)
    return was
  }
}

function place(network: string, ...remotes: (Remote | undefined)[]): Place {
  const all = remotes.filter(each => each !== undefined)
  return {
    network,
    macs: [...new Set(all.map(each => each.mac))],
    addresses: [...new Set(all.flatMap(each => each.addresses))],
    vteps: [...new Set(all.map(each => each.vtep))],
    blocks: [],
  }
}
