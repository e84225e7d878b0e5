import type { Batch } from './batch.ts'
import type { Sum } from './codec.ts'
import { complete, cover, covers, type Range, type Ranges } from './ranges.ts'
import { type Entry, minus, placeOf, plus, type Row, type Swap, same, sumOf } from './record.ts'

/** A batch that is kept for others, as long as one of its entries is the latest under its key. */
type Kept = { batch: Batch; live: number }

export type Held = Row & { kept: Kept; sum: Sum /** Milliseconds, of when it came. */; at: number }

/**
 * All that one origin has said. Its numbered batches may come in any order, twice, from anybody.
 *
 * **Life.** An origin that restarts begins anew with a higher epoch and says everything again. Until its new log is whole, what it
 * said before stays visible (`stale`): a restart must not wipe a table that works.
 *
 * **Whole** is a log without gaps up to its newest batch, when that ends a write and the sum it was signed with is the sum of what is
 * here. A holder that hid a record, or passed on one that was taken back, is found out by this; then everything is asked for again.
 */
export class Log {
  readonly origin: string
  /** Absent until somebody has told whose it is. */
  key: Buffer | undefined
  fence = 0
  epoch = 0
  covered: Ranges = []
  /** By their first sequence number. */
  readonly batches = new Map<number, Kept>()
  head: Kept | undefined
  readonly rows = new Map<string, Held>()
  readonly stale = new Map<string, Held>()
  sum: Sum = [0, 0]
  /** Entries that take something back, the one that came first first. */
  #tombs: Held[] = []
  /** How many kept batches say something under a key: what is passed on has it in it, taken back or not. */
  readonly #mentions = new Map<string, number>()

  constructor(origin: string) {
    this.origin = origin
  }

  /** Up to where nothing is missing. */
  get upto(): number {
    return complete(this.covered)
  }

  /** The highest number that its writer has vouched for. */
  get last(): number {
    return this.head?.batch.last ?? 0
  }

  /** Whether this can't tell anything new. */
  has({ fence, epoch, first, last }: Batch): boolean {
    if (fence < this.fence || epoch < this.epoch) return true
    return epoch === this.epoch && covers(this.covered, [first, last])
  }

  /** Takes a batch whose signature is right. Returns the rows that took others' places. */
  merge(batch: Batch, now: number): Swap[] {
    if (this.has(batch)) return []
    if (batch.epoch > this.epoch) this.#begin(batch)
    const kept: Kept = { batch, live: 0 }
    const changes = batch.entries.flatMap((entry, at) => this.#take(entry, batch.first + at, kept, now))
    this.#keep(kept)
    return [...changes, ...this.cover([batch.first, batch.last])]
  }

  /** Somebody claims that nothing within this range matters that isn't here. Beyond the newest signed batch nobody can. */
  cover([from, to]: Range): Swap[] {
    this.covered = cover(this.covered, [from, Math.min(to, this.last)])
    return this.#judge()
  }

  /** Every visible row: of this life, and of the one before where this life hasn't spoken yet. */
  *visible(): Generator<Held> {
    for (const row of this.rows.values()) if (row.value) yield row
    yield* this.stale.values()
  }

  /** What is visible under a key. */
  at(place: string): Held | undefined {
    const row = this.rows.get(place)
    if (row) return row.value ? row : undefined
    return this.stale.get(place)
  }

  /**
   * Forgets entries that took something back before a time. Those beyond a gap stay, since what they take back may still come, and so do
   * those of what a kept batch says: whoever gets that batch has to get them too.
   */
  bury(before: number): void {
    const { upto } = this
    const old = this.#tombs.findIndex(({ at, seq }) => at >= before || seq > upto)
    const due = this.#tombs.splice(0, old < 0 ? this.#tombs.length : old)
    const current = due.filter(row => this.rows.get(placeOf(row)) === row)
    const [needed = [], done = []] = [true, false].map(is =>
      current.filter(row => this.#mentions.has(placeOf(row)) === is),
    )
    this.#tombs.unshift(...needed)
    for (const row of done) {
      this.rows.delete(placeOf(row))
      this.#release(row.kept)
    }
  }

  /** The batches within a range, in order. */
  within(ranges: Ranges): Batch[] {
    return [...this.batches.values()]
      .map(({ batch }) => batch)
      .filter(({ first, last }) => ranges.some(([from, to]) => first <= to && from <= last))
      .sort((a, b) => a.first - b.first)
  }

  #begin({ epoch, fence }: Batch): void {
    this.#doubt()
    this.epoch = epoch
    this.fence = fence
  }

  /** Everything has to be said again; until then it stays visible. */
  #doubt(): void {
    for (const [place, row] of this.rows) {
      if (row.value) this.stale.set(place, row)
      else this.stale.delete(place)
    }
    this.rows.clear()
    this.batches.clear()
    this.#mentions.clear()
    this.head = undefined
    this.covered = []
    this.sum = [0, 0]
    this.#tombs = []
  }

  #take(entry: Entry, seq: number, kept: Kept, now: number): Swap[] {
    const place = placeOf(entry)
    const known = this.rows.get(place)
    if ((known && known.seq >= seq) || covers(this.covered, [seq, seq])) return []
    const before = this.at(place)
    if (known) this.#leave(known)
    this.stale.delete(place)
    const { origin, epoch } = this
    const row: Held = {
      ...entry,
      origin,
      epoch,
      seq,
      kept,
      at: now,
      sum: entry.value ? sumOf(entry) : [0, 0],
    }
    this.rows.set(place, row)
    this.sum = plus(this.sum, row.sum)
    kept.live++
    if (!row.value) this.#tombs.push(row)
    const after = row.value ? row : undefined
    return before || after ? [{ before, after }] : []
  }

  #leave(row: Held): void {
    this.sum = minus(this.sum, row.sum)
    this.#release(row.kept)
  }

  #release(kept: Kept): void {
    kept.live--
    this.#drop(kept)
  }

  /** The newest batch stays whatever is in it: it is the proof of how far the log goes. */
  #drop(kept: Kept): void {
    const { first } = kept.batch
    if (kept.live > 0 || kept === this.head || this.batches.get(first) !== kept) return
    this.batches.delete(first)
    this.#mention(kept, -1)
  }

  #mention({ batch }: Kept, difference: number): void {
    for (const entry of batch.entries) {
      if (!entry.value) continue
      const place = placeOf(entry)
      const count = (this.#mentions.get(place) ?? 0) + difference
      if (count > 0) this.#mentions.set(place, count)
      else this.#mentions.delete(place)
    }
  }

  #keep(kept: Kept): void {
    const other = this.batches.get(kept.batch.first)
    if (other) this.#mention(other, -1)
    this.batches.set(kept.batch.first, kept)
    this.#mention(kept, 1)
    const before = this.head
    if (kept.batch.last > this.last) this.head = kept
    this.#drop(kept)
    if (before) this.#drop(before)
  }

  #judge(): Swap[] {
    const head = this.head?.batch
    if (!head || head.more || this.upto !== head.last) return []
    if (!same(this.sum, head.sum)) {
      this.#doubt()
      return []
    }
    const gone = [...this.stale.values()]
    this.stale.clear()
    return gone.map(before => ({ before }))
  }
}
