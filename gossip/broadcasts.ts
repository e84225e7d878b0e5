type Item = { name: string | undefined; message: Buffer; sent: number; order: number }

/** In a compound each message takes a length of two bytes. */
const framing = 2
/** Beyond this the oldest are dropped, so that a flood costs bounded memory. */
const capacity = 8192

/** Messages to pass on with whatever is sent: those least often sent first, longer ones first, newer ones first. */
export class Broadcasts {
  #items: Item[] = []
  #order = 0

  get size(): number {
    return this.#items.length
  }

  has(name: string): boolean {
    return this.#items.some(item => item.name === name)
  }

  /** A message with a name takes the place of an older one of that name. */
  add(message: Buffer, name?: string): void {
    if (name !== undefined) this.#items = this.#items.filter(item => item.name !== name)
    this.#items.push({ name, message, sent: 0, order: this.#order++ })
    if (this.#items.length > capacity) this.#dropOldest()
  }

  /** Messages that fit `room` bytes. Each is given `limit` times in all, then forgotten. */
  take(room: number, limit: number, most: number): Buffer[] {
    if (this.#items.length === 0) return []
    this.#items.sort((a, b) => a.sent - b.sent || b.message.length - a.message.length || b.order - a.order)
    const taken = fitting(this.#items, room, most)
    for (const item of taken) item.sent++
    if (taken.some(item => item.sent >= limit)) this.#items = this.#items.filter(item => item.sent < limit)
    return taken.map(item => item.message)
  }

  #dropOldest(): void {
    const oldest = this.#items.reduce((a, b) => (a.order < b.order ? a : b))
    this.#items.splice(this.#items.indexOf(oldest), 1)
  }
}

function fitting(items: Item[], room: number, most: number): Item[] {
  const taken: Item[] = []
  let left = room
  for (const item of items) {
    if (left <= framing || taken.length === most) break
    if (item.message.length + framing > left) continue
    left -= item.message.length + framing
    taken.push(item)
  }
  return taken
}

export const sizeOf = (messages: readonly Buffer[]): number =>
  messages.reduce((sum, message) => sum + message.length + framing, 0)

/** How often each node passes a message on, in a cluster of `nodes`. */
export const retransmitLimit = (mult: number, nodes: number): number =>
  mult * Math.ceil(Math.log10(nodes + 1))
