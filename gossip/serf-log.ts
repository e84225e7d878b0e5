/** Serf's Lamport clock (lamport.go). */
export class LamportClock {
  time = 1

  /** A time of our own, later than all we have heard of. */
  next(): number {
    this.time++
    return this.time - 1
  }

  witness(time: number): void {
    this.time = Math.max(this.time, time + 1)
  }
}

/** Lamport times that are remembered, as serf's EventBuffer and QueryBuffer. */
const window = 512

/** Which events or queries have been here: each is handed on once, and those older than the window never. */
export class Recent {
  readonly #clock: LamportClock
  readonly #seen = new Map<number, Set<string>>()

  constructor(clock: LamportClock) {
    this.#clock = clock
  }

  /** True the first time. */
  admit(time: number, key: string): boolean {
    this.#clock.witness(time)
    if (this.#clock.time > window && time < this.#clock.time - window) return false
    const keys = this.#seen.get(time) ?? new Set()
    if (keys.has(key)) return false
    this.#seen.set(time, keys.add(key))
    this.#prune()
    return true
  }

  #prune(): void {
    if (this.#seen.size <= 2 * window) return
    for (const time of this.#seen.keys()) if (time < this.#clock.time - window) this.#seen.delete(time)
  }
}
