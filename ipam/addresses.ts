import { type Family, hostable, includes, type Prefix, size } from './prefix.ts'

/**
 * Who has which address of one pool. Pure bookkeeping, the same for a /24 and for a /64: nothing is kept for an address that
 * nobody has had.
 *
 * Free addresses are handed out in one lap around the range, and after it in the order in which they were released. So an
 * address rests as long as possible before somebody else gets it (ARP caches, conntrack entries and Swarm's
 * `com.docker.network.ipam.serial` ask for it), and each request looks at few addresses: the lap passes every address once.
 */
export class Addresses<Grant> {
  readonly pool: Prefix
  readonly range: Prefix
  readonly #taken = new Map<bigint, Grant>()
  /** Released ones, the one that has rested longest first. */
  readonly #resting = new Set<bigint>()
  #start: bigint
  #passed = 0n

  /** Automatic addresses come from `range`; explicit ones from all of `pool`. */
  constructor(pool: Prefix, range: Prefix = pool) {
    this.pool = pool
    this.range = range
    // A range's own first address looks like a network address: it comes last.
    this.#start = 1n
  }

  get family(): Family {
    return this.pool.family
  }

  /** Lets the lap begin behind this address: after a restart the one that was given last. */
  startAfter(value: bigint): void {
    if (this.#ranges(value)) this.#start = value - this.range.first + 1n
  }

  /** The address to give next, or undefined when none is free. Doesn't take it. */
  next(): bigint | undefined {
    const total = size(this.range)
    for (; this.#passed < total; this.#passed++) {
      const value = this.range.first + ((this.#start + this.#passed) % total)
      if (hostable(this.pool, value) && !this.#taken.has(value) && !this.#resting.has(value)) return value
    }
    return this.#resting.values().next().value
  }

  /** Notes what an address was granted for. */
  take(value: bigint, grant: Grant): void {
    this.#resting.delete(value)
    this.#taken.set(value, grant)
  }

  free(value: bigint): void {
    if (this.#taken.delete(value) && this.#ranges(value)) this.#resting.add(value)
  }

  /** What a taken address was granted for; undefined when it is free. */
  grant(value: bigint): Grant | undefined {
    return this.#taken.get(value)
  }

  grants(): MapIterator<[bigint, Grant]> {
    return this.#taken.entries()
  }

  #ranges(value: bigint): boolean {
    return includes(this.range, { family: this.family, value })
  }
}
