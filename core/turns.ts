/** Work on one thing at a time: what is asked for the same key runs in the order it was asked, other keys side by side. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>()

  take<T>(key: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#last.get(key) ?? Promise.resolve()).then(work, work)
    this.#last.set(key, turn)
    const leave = () => this.#last.get(key) === turn && this.#last.delete(key)
    turn.then(leave, leave)
    return turn
  }
}
