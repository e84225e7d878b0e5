type Waiting<T> = { items: readonly T[]; done(): void; failed(error: unknown): void }

/**
 * Group commit: what is asked for in one turn of the event loop, or while a commit is under way, is committed together. Commits
 * come one after the other.
 */
export class Group<T> {
  readonly #commit: (items: readonly T[]) => Promise<void>
  #waiting: Waiting<T>[] = []
  #running: Promise<void> | undefined

  constructor(commit: (items: readonly T[]) => Promise<void>) {
    this.#commit = commit
  }

  /** Resolves or rejects with the commit that the items went into. */
  add(items: readonly T[]): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ items, done, failed })
      this.#running ??= this.#run()
    })
  }

  /** Resolves when nothing is waiting or under way. */
  async idle(): Promise<void> {
    await this.#running
  }

  async #run(): Promise<void> {
    await new Promise(setImmediate)
    while (this.#waiting.length > 0) {
      const group = this.#waiting
      this.#waiting = []
      await this.#commitAll(group)
    }
    this.#running = undefined
  }

  async #commitAll(group: readonly Waiting<T>[]): Promise<void> {
    try {
      await this.#commit(group.flatMap(({ items }) => items))
    } catch (error) {
      for (const { failed } of group) failed(error)
      return
    }
    for (const { done } of group) done()
  }
}
