import { type Ballot, voteOf } from './ballot.ts'
import { type Disk, type Input, type Law, type Level, type Output, trusting, type Word } from './blocks.ts'
import { Blocks } from './blocks-step.ts'
import { founderOf } from './titles.ts'

/** What must survive a crash. */
export type Kept = Ballot & { disk: Disk }

/** What a host says of a pool: one record in the replicated table. */
export type Said = Ballot & { word: Word }

export type Effect =
  /** Make it durable, then call `persisted`. A later version holds all of an earlier one. */
  | { type: 'persist'; version: number; kept: Kept }
  /** Addresses may be handed out of one more block. */
  | { type: 'dealt' }
  /** This host was forgotten, and what has an address of these blocks has to go. */
  | { type: 'lost'; blocks: number[] }

type Writing = { version: number; blocks: number; ballot: Ballot }

/**
 * One host's part in one pool that the hosts of a cluster share: its vote on who owns the pool at birth, and its blocks. Pure; every
 * method tells what the world is to do, and `said` what to write as this host's record afterwards.
 */
export class Share {
  readonly self: string
  readonly #count: number
  readonly #blocks: Blocks
  readonly #usable = new Set<number>()
  readonly #others = new Map<string, Said>()
  readonly #agreed = new Set<string>()
  #disk: Disk
  #ballot: Ballot
  /** The one that is on disk. */
  #cast: Ballot
  #members: readonly string[] | undefined
  #here = false
  #version = 0
  #persisting = 0
  #writing: Writing[] = []

  /** @param count blocks that the pool has. `life` and `level` as for `Blocks`. */
  constructor(
    self: string,
    life: number,
    count: number,
    { disk, ...ballot }: Kept,
    level: Level = 0,
    law: Law = trusting,
  ) {
    this.self = self
    this.#count = count
    this.#disk = disk
    this.#ballot = ballot
    this.#cast = { ...ballot }
    this.#blocks = new Blocks(self, life, disk, level, law)
    this.#found()
  }

  /** What other hosts said last. */
  get heard(): ReadonlyMap<string, Said> {
    return this.#others
  }

  /** Blocks that addresses may be handed out of. */
  get usable(): ReadonlySet<number> {
    return this.#usable
  }

  /** What the next life may begin with if it has the disk of this one. */
  get level(): Level {
    return this.#blocks.vouched
  }

  /** Whose a block is, by what its owners gave away; undefined while nobody knows. */
  owner(block: number): string | undefined {
    return this.#blocks.owner(block)
  }

  /** Blocks that other hosts give addresses of, by their word and by what they were given. */
  get elsewhere(): ReadonlyMap<number, string> {
    return this.#blocks.elsewhere()
  }

  said(): Said {
    return { ...this.#cast, word: this.#blocks.word() }
  }

  hear(from: string, said: Said): Effect[] {
    this.#others.set(from, said)
    this.#found()
    return this.#step({ type: 'heard', from, word: said.word })
  }

  /** This host's table, all of its own words in it, and somebody's were equal. */
  agree(other: string): Effect[] {
    if (this.#others.has(other)) this.#agreed.add(other)
    return this.#step({ type: 'agreed', with: other })
  }

  /** All other hosts that were ever heard of; not called while that isn't known. */
  meet(hosts: readonly string[]): Effect[] {
    this.#members = hosts
    return this.#step({ type: 'members', hosts: [...hosts] })
  }

  /** The network is on this host, or no longer, and so many blocks are wanted. */
  want(here: boolean, blocks: number): Effect[] {
    this.#here = here
    return this.#step({ type: 'want', kept: here ? blocks : 0 })
  }

  /** An operator says that a host is gone for good, and that this one succeeds it. */
  forget(host: string): Effect[] {
    return this.#step({ type: 'forget', host })
  }

  /** Whoever was asked for blocks hasn't answered in time. */
  askAnother(): Effect[] {
    return this.#step({ type: 'elsewhere' })
  }

  persisted(version: number): Effect[] {
    const last = this.#writing.filter(each => each.version <= version).at(-1)
    this.#writing = this.#writing.filter(each => each.version > version)
    if (!last) return []
    this.#cast = last.ballot
    return this.#step({ type: 'persisted', version: last.blocks })
  }

  /** Hosts that it would help to compare tables with now. */
  unsure(): string[] {
    const { level, disk } = this.#blocks
    if (level === 2 || !(this.#here || disk.kept.length + disk.free.length > 0)) return []
    if (level === 1 && disk.free.length === 0 && this.#isOwned()) return []
    return (this.#members ?? []).filter(host => !this.#agreed.has(host))
  }

  /** Whether somebody was asked for blocks and hasn't answered. */
  get asks(): string | undefined {
    return this.#blocks.word().ask?.id
  }

  /** Why there is no block: hosts that have to answer first; undefined while not even they are known. */
  awaited(): readonly string[] | undefined {
    if (!this.#members || this.#isOwned()) return this.#members && []
    const standing = this.#cast.vote ?? this.self
    return this.#members.filter(host => this.#others.get(host)?.vote !== standing)
  }

  #found(): void {
    const votes = [...this.#others.values()].map(({ vote }) => vote)
    this.#blocks.founder = founderOf(this.#ballot.vote, votes)
  }

  #step(input: Input): Effect[] {
    return [...this.#run(input), ...this.#decide()]
  }

  #run(input: Input): Effect[] {
    return this.#blocks.step(input).flatMap(output => this.#take(output))
  }

  #take(output: Output): Effect[] {
    switch (output.type) {
      case 'persist':
        this.#disk = output.disk
        this.#persisting = output.version
        return [this.#persist()]
      case 'usable':
        this.#usable.add(output.block)
        return [{ type: 'dealt' }]
      case 'lost':
        this.#usable.clear()
        return [output]
      case 'publish':
        return []
    }
  }

  #persist(): Effect {
    const ballot = { ...this.#ballot }
    this.#writing.push({ version: ++this.#version, blocks: this.#persisting, ballot })
    return { type: 'persist', version: this.#version, kept: { ...ballot, disk: this.#disk } }
  }

  #decide(): Effect[] {
    const may = this.#here && this.#blocks.level === 2 && !this.#isOwned()
    const vote = voteOf(this.self, this.#ballot, this.#others, may)
    if (vote !== this.#ballot.vote) {
      this.#ballot = { vote, founded: false }
      this.#found()
      return [this.#persist()]
    }
    if (!may || !this.#isElected()) return []
    this.#ballot.founded = true
    return this.#run({ type: 'create', blocks: this.#count })
  }

  #isElected(): boolean {
    if (this.#cast.vote !== this.self || this.#ballot.vote !== this.self || this.#ballot.founded) return false
    return this.#members?.every(host => this.#others.get(host)?.vote === this.self) ?? false
  }

  /** Whether anybody has blocks, so that nobody needs to be elected. */
  #isOwned(): boolean {
    const words = [this.#blocks.word(), ...[...this.#others.values()].map(({ word }) => word)]
    return words.some(({ kept, free }) => kept.length + free.length > 0)
  }
}
