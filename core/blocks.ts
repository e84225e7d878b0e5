import { BlockList } from 'node:net'
import { contains, extend } from './addresses.ts'

/** Blocks of one pool that other hosts give addresses of: prefixes in CIDR form that don't overlap, and the hosts' tunnel end points. */
export class Blocks {
  readonly vteps: ReadonlyMap<string, string>
  readonly #all = new BlockList()
  readonly #by = new Map<string, BlockList>()

  constructor(vteps: ReadonlyMap<string, string>) {
    this.vteps = vteps
    for (const [prefix, vtep] of vteps) {
      const own = this.#by.get(vtep) ?? new BlockList()
      this.#by.set(vtep, own)
      extend(own, prefix)
      extend(this.#all, prefix)
    }
  }

  /** Whether an address lies in a block of the host behind `vtep`, or in any. */
  covers(address: string, vtep?: string): boolean {
    const list = vtep === undefined ? this.#all : this.#by.get(vtep)
    return list !== undefined && contains(list, address)
  }
}

/** Prefixes that one of the two doesn't have, or has elsewhere. */
export function differing(
  one: ReadonlyMap<string, string>,
  other: ReadonlyMap<string, string>,
): Map<string, string> {
  const all = new Map([...one, ...other])
  return new Map([...all].filter(([prefix]) => one.get(prefix) !== other.get(prefix)))
}
