/** What is to be done when. A timer is not cancelled: who set it recognises, by what it says, that it is stale. */
export class Schedule<T> {
  readonly #timers: { due: number; timer: T }[] = []

  /** When the first timer is due; Infinity without any. */
  get next(): number {
    return this.#timers.at(-1)?.due ?? Number.POSITIVE_INFINITY
  }

  add(due: number, timer: T): void {
    let from = 0
    let to = this.#timers.length
    while (from < to) {
      const middle = (from + to) >> 1
      if ((this.#timers[middle] as { due: number }).due > due) from = middle + 1
      else to = middle
    }
    this.#timers.splice(from, 0, { due, timer })
  }

  /** Takes the first timer that is due. */
  take(now: number): T | undefined {
    return this.next <= now ? this.#timers.pop()?.timer : undefined
  }

  /** Postpones all. */
  shift(by: number): void {
    for (const timer of this.#timers) timer.due += by
  }
}
