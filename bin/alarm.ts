/** Does something once, in a while: a new time takes the place of the one before. Keeps no process alive. */
export class Alarm {
  readonly #run: () => void
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(run: () => void) {
    this.#run = run
  }

  /** Milliseconds from now. */
  set(wait: number): void {
    clearTimeout(this.#timer)
    if (!this.#closed) this.#timer = setTimeout(this.#run, wait).unref()
  }

  /** For good. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }
}
