/** Milliseconds. */
const FIRST = 100
const LONGEST = 60_000
const FORGOTTEN = 10 * 60_000

/** How often something was tried lately, and when it may be tried again: each time twice as late, once a minute at last. */
export class Tries {
  readonly #tries = new Map<string, { count: number; at: number }>()

  /** Milliseconds from `now` until it may be tried; 0 for what wasn't tried lately. */
  wait(key: string, now: number): number {
    const { count, at } = this.#tries.get(key) ?? { count: 0, at: now }
    return count === 0 ? 0 : Math.max(0, at + Math.min(FIRST * 2 ** (count - 1), LONGEST) - now)
  }

  tried(key: string, now: number): void {
    for (const [each, { at }] of this.#tries) if (now - at > FORGOTTEN) this.#tries.delete(each)
    this.#tries.set(key, { count: (this.#tries.get(key)?.count ?? 0) + 1, at: now })
  }
}
