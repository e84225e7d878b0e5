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
  /** By its first address and length, how far the lap around a part of the pool has come. */
  readonly #laps = new Map<string, { start: bigint; passed: bigint }>()
  #newest: bigint | undefined

  /** Automatic addresses come from `range`; explicit ones from all of `pool`. */
  constructor(pool: Prefix, range: Prefix = pool) {
    this.pool = pool
    this.range = range
  }

  get family(): Family {
    return this.pool.family
  }

  /** How many are taken. */
  get count(): number {
    return this.#taken.size
  }

  /** Lets the lap begin behind this address: after a restart the one that was given last. */
  startAfter(value: bigint): void {
    this.#newest = value
  }

  /** The address of these parts of the pool to give next, or undefined when none is free. Doesn't take it. */
  next(parts: readonly Prefix[] = [this.range]): bigint | undefined {
    for (const part of parts) {
      const value = this.#onLap(part)
      if (value !== undefined) return value
    }
    return this.#resting.values().find(value => parts.some(part => this.#isIn(part, value)))
  }

  /** Notes what an address was granted for. */
  take(value: bigint, grant: Grant): void {
    this.#resting.delete(value)
    this.#taken.set(value, grant)
  }

  free(value: bigint): void {
    if (this.#taken.delete(value) && this.#isIn(this.range, value)) this.#resting.add(value)
  }

  /** What a taken address was granted for; undefined when it is free. */
  grant(value: bigint): Grant | undefined {
    return this.#taken.get(value)
  }

  grants(): MapIterator<[bigint, Grant]> {
    return this.#taken.entries()
  }

  #onLap(part: Prefix): bigint | undefined {
    const lap = this.#lapOf(part)
    const total = size(part)
    for (; lap.passed < total; lap.passed++) {
      const value = part.first + ((lap.start + lap.passed) % total)
      if (hostable(this.pool, value) && !this.#taken.has(value) && !this.#resting.has(value)) return value
    }
    return undefined
  }

  #lapOf(part: Prefix): { start: bigint; passed: bigint } {
    const key = `${part.first}/${part.length}`
    const known = this.#laps.get(key)
    if (known) return known
    const isNewest = this.#newest !== undefined && this.#isIn(part, this.#newest)
    // A part's own first address looks like a network address: it comes last.
    const start = isNewest ? (this.#newest as bigint) - part.first + 1n : 1n
    const lap = { start, passed: 0n }
    this.#laps.set(key, lap)
    return lap
  }

  #isIn(part: Prefix, value: bigint): boolean {
    return includes(part, { family: this.family, value })
  }
}
