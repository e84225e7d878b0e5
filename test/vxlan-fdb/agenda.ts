type Item<T> = { at: number; order: number; what: T }

/** What happens when: a binary heap by time, and by order of adding. */
export class Agenda<T> {
  readonly #items: Item<T>[] = []
  #order = 0

  add(at: number, what: T): void {
    const items = this.#items
    const item = { at, order: this.#order++, what }
    let place = items.length
    for (let above = (place - 1) >> 1; place > 0 && before(item, items[above]); above = (place - 1) >> 1) {
      items[place] = items[above] as Item<T>
      place = above
    }
    items[place] = item
  }

  /** Takes out the first one, unless it is after a time. */
  next(until: number): Item<T> | undefined {
    const [first] = this.#items
    if (!first || first.at > until) return undefined
    const last = this.#items.pop() as Item<T>
    if (this.#items.length > 0) this.#sink(last)
    return first
  }

  #sink(item: Item<T>): void {
    const items = this.#items
    let place = 0
    for (;;) {
      const left = 2 * place + 1
      const child =
        left + 1 < items.length && before(items[left + 1] as Item<T>, items[left]) ? left + 1 : left
      if (child >= items.length || before(item, items[child])) break
      items[place] = items[child] as Item<T>
      place = child
    }
    items[place] = item
  }
}

const before = <T>(a: Item<T>, b: Item<T> | undefined) =>
  !b || a.at < b.at || (a.at === b.at && a.order < b.order)
