import type { Deed, Disk, Fence, Law, Word } from './blocks.ts'
import { deedText, filed, ownerOf } from './titles.ts'

/** Generations higher than this above the known one are nobody's. */
const farthest = 1024

/** What one host knows of a pool, and what follows from it about whose the blocks are and who is believed. */
export class Ledger {
  readonly host: string
  readonly disk: Disk
  readonly words = new Map<string, Word>()
  readonly law: Law
  /** The host that had the whole pool at its birth; undefined while that isn't known. */
  founder: string | undefined
  /** Deeds that were found to be signed: their texts. */
  readonly #signed = new Set<string>()
  /** By giver and block, the receiver; undefined when it has to be made anew. */
  #receivers: Map<string, string> | undefined

  constructor(host: string, disk: Disk, law: Law) {
    this.host = host
    this.disk = structuredClone(disk)
    this.law = law
  }

  /** What a host says last; undefined when it counts no more. */
  note(host: string, word: Word | undefined): void {
    this.#receivers = undefined
    if (word) this.words.set(host, word)
    else this.words.delete(host)
  }

  /** Keeps deeds for good. */
  file(deeds: readonly Deed[]): void {
    this.#receivers = undefined
    this.disk.deeds = deeds.reduce<Deed[]>(filed, this.disk.deeds ?? [])
  }

  /** This host's word that it gave blocks to somebody, with all that it gave him before. */
  deed(to: string, blocks: readonly number[]): Deed {
    const before = (this.words.get(to)?.deeds ?? []).filter(
      ({ from, to: at }) => from === this.host && at === to,
    )
    const all = [...new Set([...before.flatMap(each => each.blocks), ...blocks])]
    const deed = { from: this.host, to, blocks: all }
    return { ...deed, seal: this.law.sign(deedText(deed)) }
  }

  /** Whose a block is by what its owners gave away, whatever others say; undefined while nobody knows. */
  owner(block: number): string | undefined {
    const receivers = this.#index()
    const receiver = (from: string, block: number) => receivers.get(`${from} ${block}`)
    const heirOf = (lost: string) => {
      const heir = this.law.heirOf(lost)
      return heir !== undefined && this.#has(heir, block) ? heir : undefined
    }
    return ownerOf(block, { founder: this.founder, receiver, heirOf })
  }

  /** While nobody knows whose a block is, whoever says so is believed. */
  isOf(block: number, host: string): boolean {
    return (this.owner(block) ?? host) === host
  }

  isSigned(deed: Deed): boolean {
    const text = deedText(deed)
    if (this.#signed.has(`${text} ${deed.seal}`)) return true
    if (!this.law.isSigned(deed.from, text, deed.seal)) return false
    this.#signed.add(`${text} ${deed.seal}`)
    return true
  }

  /** Whether a fence that somebody says may be believed. */
  isRight(host: string, { generation }: Fence): boolean {
    if (generation > this.height(host) + farthest) return false
    if (host === this.host) return true
    return (this.words.get(host)?.generation ?? 0) >= generation || this.law.isForgotten(host)
  }

  height(host: string): number {
    return this.disk.fences[host]?.generation ?? 0
  }

  isForgotten(host: string): boolean {
    return this.height(host) > (this.words.get(host)?.generation ?? 0)
  }

  /** Blocks that others say are theirs; with `rightly`, those alone that they can show to be. */
  claimed(rightly = false): Set<number> {
    const words = [...this.words].filter(([host]) => !this.isForgotten(host))
    return new Set(
      words.flatMap(([host, { kept, free }]) =>
        [...kept, ...free].filter(block => !rightly || this.isOf(block, host)),
      ),
    )
  }

  /** Blocks that other hosts hand out of, and that were given to them. */
  elsewhere(): Map<number, string> {
    const all = [...this.words].flatMap(([host, { kept }]) =>
      kept.map((block): [number, string] => [block, host]),
    )
    return new Map(all.filter(([block, host]) => this.owner(block) === host && !this.owns(block)))
  }

  owns(block: number): boolean {
    return this.disk.kept.includes(block) || this.disk.free.includes(block)
  }

  #index(): Map<string, string> {
    if (this.#receivers) return this.#receivers
    const shown = [this.disk, ...this.words.values()].flatMap(({ deeds = [] }) => deeds)
    const index = shown
      .filter(deed => this.isSigned(deed))
      .flatMap(({ from, to, blocks }) => blocks.map((block): [string, string] => [`${from} ${block}`, to]))
    this.#receivers = new Map(index)
    return this.#receivers
  }

  /** Whether a host says that it has a block, or had it to give. */
  #has(host: string, block: number): boolean {
    const { kept = [], free = [] } = (host === this.host ? this.disk : this.words.get(host)) ?? {}
    return kept.includes(block) || free.includes(block) || this.#index().has(`${host} ${block}`)
  }
}
