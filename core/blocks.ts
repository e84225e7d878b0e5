import { BlockList } from 'node:net'
import { contains, extend } from './addresses.ts'

/** Blocks of one pool that other hosts give addresses of: prefixes in CIDR form that don't overlap, and the hosts' tunnel end points. */
export class Blocks {
  readonly vteps: ReadonlyMap<string, string>
  /** By tunnel end point, and of all under an empty name. Made when asked for: hosts that come one after the other are a pool's blocks anew each time. */
  #lists: ReadonlyMap<string, BlockList> | undefined

  constructor(vteps: ReadonlyMap<string, string>) {
    this.vteps = vteps
  }

  /** Whether an address lies in a block of the host behind `vtep`, or in any. */
  covers(address: string, vtep = ''): boolean {
    this.#lists ??= listsOf(this.vteps)
    const list = this.#lists.get(vtep)
    return list !== undefined && contains(list, address)
  }
}

function listsOf(vteps: ReadonlyMap<string, string>): Map<string, BlockList> {
  const lists = new Map([['', new BlockList()]])
  for (const [prefix, vtep] of vteps)
    for (const name of ['', vtep]) {
      const list = lists.get(name) ?? new BlockList()
      lists.set(name, list)
      extend(list, prefix)
    }
  return lists
}

/** Prefixes that one of the two doesn't have, or has elsewhere. */
export function differing(
  one: ReadonlyMap<string, string>,
  other: ReadonlyMap<string, string>,
): Map<string, string> {
  const all = new Map([...one, ...other])
  return new Map([...all].filter(([prefix]) => one.get(prefix) !== other.get(prefix)))
}
