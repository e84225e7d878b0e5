import type { Disk, Fence, Law, Word } from './blocks.ts'
import { ownerOf } from './titles.ts'

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

  constructor(host: string, disk: Disk, law: Law) {
    this.host = host
    this.disk = structuredClone(disk)
    this.law = law
  }

  /** Whose a block is by what its owners gave away, whatever others say; undefined while nobody knows. */
  owner(block: number): string | undefined {
    const given = (host: string) => this.wordOf(host)?.given
    const heirOf = (lost: string) => {
      const heir = this.law.heirOf(lost)
      return heir !== undefined && this.has(heir, block) ? heir : undefined
    }
    return ownerOf(block, { founder: this.founder, given, heirOf })
  }

  /** Whether a fence that somebody says may be believed. */
  isRight(host: string, { generation }: Fence): boolean {
    if (generation > this.height(host) + farthest) return false
    if (host === this.host) return true
    return (this.words.get(host)?.generation ?? 0) >= generation || this.law.isForgotten(host)
  }

  /** While nobody knows whose a block is, whoever says so is believed. */
  isOf(block: number, host: string): boolean {
    return (this.owner(block) ?? host) === host
  }

  height(host: string): number {
    return this.disk.fences[host]?.generation ?? 0
  }

  isForgotten(host: string): boolean {
    return this.height(host) > (this.words.get(host)?.generation ?? 0)
  }

  /** Blocks that somebody else says are his. */
  claimed(): Set<number> {
    const words = [...this.words].filter(([host]) => !this.isForgotten(host))
    return new Set(words.flatMap(([, { kept, free }]) => [...kept, ...free]))
  }

  wordOf(host: string): Pick<Word, 'kept' | 'free' | 'given'> | undefined {
    return host === this.host ? this.disk : this.words.get(host)
  }

  /** Whether a host says that it has a block, or had it to give. */
  has(host: string, block: number): boolean {
    const { kept = [], free = [], given = {} } = this.wordOf(host) ?? {}
    return (
      kept.includes(block) || free.includes(block) || Object.values(given).some(all => all.includes(block))
    )
  }

  owns(block: number): boolean {
    return this.disk.kept.includes(block) || this.disk.free.includes(block)
  }
}
