/**
 * Answers the kernel's bell with a run over everything: shortly after the first ring, so that a burst costs one run, and
 * never taking more than a sixth of the time, however often it rings.
 */
export class Doorbell {
  readonly #run: () => Promise<unknown>
  #timer: NodeJS.Timeout | undefined
  #running = false
  #again = false
  /** When the next run may begin. */
  #rested = 0

  constructor(run: () => Promise<unknown>) {
    this.#run = run
  }

  ring(): void {
    if (this.#running) this.#again = true
    else this.#timer ??= setTimeout(() => void this.#answer(), this.#wait()).unref()
  }

  #wait(): number {
    return Math.max(30, this.#rested - performance.now())
  }

  close(): void {
    clearTimeout(this.#timer)
  }

  async #answer(): Promise<void> {
    const begin = performance.now()
    this.#timer = undefined
    this.#running = true
    await this.#run().catch(() => {})
    this.#running = false
    const end = performance.now()
    this.#rested = end + 5 * (end - begin)
    if (!this.#again) return
    this.#again = false
    this.ring()
  }
}
