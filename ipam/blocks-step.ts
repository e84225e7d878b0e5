import {
  type Ask,
  type Deed,
  type Disk,
  type Fence,
  type Gift,
  type Input,
  type Law,
  type Level,
  type Output,
  trusting,
  type Word,
} from './blocks.ts'
import { Ledger } from './ledger.ts'

/** What to do once a version is durable. */
type Later = { version: number; gift?: Gift; usable?: readonly number[] }

/**
 * What one host knows of one pool's blocks.
 *
 * **Why no address is given twice.** A block changes hands only by a gift: its owner strikes it off its own disk, and only then says
 * so; the receiver says at once that it is his, and hands out addresses when that is on his disk. A gift counts only in the life of the
 * giver that it was asked of, so what an older life had under way comes to nothing.
 *
 * **A disk that is older than it seems** (a backup, a snapshot) can name blocks as free that were given away since. So a new life
 * touches what is free only after its table was equal to that of every known host: whoever has got a block says so in its word. What it
 * keeps can't have been given away; it can only have been lost by a `forget`, which counts after every other host has it on disk. So one
 * host that knows (level 1), or all of them, suffice.
 */
export class Blocks extends Ledger {
  readonly life: number
  level: Level
  members: string[] | undefined
  readonly #agreed = new Set<string>()
  /** The ones that agreed after they said that they know of a fence, by the host that is forgotten. */
  readonly #witnesses = new Map<string, Set<string>>()
  readonly #usable = new Set<number>()
  readonly #answered = new Set<string>()
  #wanted = 0
  #version = 0
  #durable = 0
  /** The version without what a `forget` took away. */
  #fell = 0
  #later: Later[] = []
  #gifts: Gift[] = []
  #ask: Ask | undefined
  /** Fences that are on disk: others rely on a fence that we say. */
  #fences: Record<string, Fence>
  #avoided: string | undefined
  #lots = 0
  /** Those that are on disk. */
  #deeds: Deed[]

  /**
   * @param life higher than that of any life before.
   * @param level 0, unless something that can't be restored with the disk (a file in /run) vouches that this is the newest disk; then
   * the level of the life before.
   */
  constructor(host: string, life: number, disk: Disk, level: Level, law: Law = trusting) {
    super(host, disk, law)
    this.life = life
    this.level = level
    this.#fences = structuredClone(disk.fences)
    this.#deeds = structuredClone(disk.deeds ?? [])
  }

  /** What the next life may take for its level: nothing as long as the disk still has what a `forget` took away. */
  get vouched(): Level {
    return this.#durable < this.#fell ? 0 : this.level
  }

  /** Takes one input; tells what the world is to do, in order. */
  step(input: Input): Output[] {
    const outputs = this.#take(input)
    outputs.push(...this.#go())
    return [...outputs, { type: 'publish', word: this.word() }]
  }

  /** What this host says now. A block counts as ours from the moment that we take it, and no more before it is given. */
  word(): Word {
    const { life, level, disk } = this
    const { generation, kept, free } = disk
    const said = { life, generation, level, kept: [...kept], free: [...free], deeds: [...this.#deeds] }
    return {
      ...said,
      fences: structuredClone(this.#fences),
      gifts: [...this.#gifts],
      ...(this.#ask ? { ask: this.#ask } : {}),
    }
  }

  #take(input: Input): Output[] {
    switch (input.type) {
      case 'create':
        this.disk.free = Array.from({ length: input.blocks }, (_, block) => block)
        return [this.#persist({})]
      case 'heard':
        return this.#hear(input.from, input.word)
      case 'agreed':
        return this.#agree(input.with)
      case 'members':
        this.members = input.hosts.filter(host => host !== this.host)
        return [...this.words.values()].flatMap(({ fences }) => this.#learn(fences))
      case 'want':
        this.#wanted = input.kept
        return []
      case 'elsewhere':
        this.#avoided = this.#ask?.of
        this.#ask = undefined
        return []
      case 'persisted':
        return this.#persisted(input.version)
      case 'forget':
        return this.#forget(input.host)
    }
  }

  #hear(from: string, word: Word): Output[] {
    if (word.generation < this.height(from))
      return [...this.#late(from, word.life), ...this.#learn(word.fences)]
    this.note(from, word)
    return [...this.#learn(word.fences), ...this.#receive(from, word)]
  }

  #agree(other: string): Output[] {
    const word = this.words.get(other)
    if (!word) return []
    this.#agreed.add(other)
    for (const lost of Object.keys(this.disk.heir)) {
      if ((word.fences[lost]?.generation ?? 0) < this.height(lost)) continue
      this.#witnesses.set(lost, (this.#witnesses.get(lost) ?? new Set()).add(other))
    }
    if (this.level === 0 && word.level > 0) this.level = 1
    return []
  }

  #forget(host: string): Output[] {
    if (host === this.host || host in this.disk.heir) return []
    const word = this.words.get(host)
    const life = word?.life ?? 0
    const blocks = [...(word?.kept ?? []), ...(word?.free ?? [])]
    this.disk.heir[host] = { life, blocks, deeds: word?.deeds ?? [] }
    this.#raise(host, Math.max(this.height(host), word?.generation ?? 0) + 1)
    return [this.#persist({})]
  }

  /** Fences spread by everybody's words, and never go; those of hosts that nobody had a right to forget count for nothing. */
  #learn(fences: Record<string, Fence>): Output[] {
    const told = Object.entries(fences).filter(([host, fence]) => this.isRight(host, fence))
    const higher = told.filter(([host, { generation }]) => generation > this.height(host))
    const later = told.flatMap(([host, { life }]) => this.#late(host, life))
    if (higher.length === 0) return later
    for (const [host, { generation }] of higher) this.#raise(host, generation)
    const lost = this.#fall()
    const again = told.flatMap(([host, { life }]) => this.#late(host, life))
    const written = this.#persist({})
    if (lost.length > 0) this.#fell = this.#version
    return [...later, ...again, ...lost, written]
  }

  #raise(host: string, generation: number): void {
    const word = this.words.get(host)
    this.disk.fences[host] = {
      generation,
      life: Math.max(word?.life ?? 0, this.disk.fences[host]?.life ?? 0),
    }
    if (this.#ask?.of === host) this.#ask = undefined
    if (word && word.generation < generation) this.note(host, undefined)
  }

  /** A forgotten host was heard of in a later life than was known, by us or by somebody else. */
  #late(host: string, life: number): Output[] {
    const fence = this.disk.fences[host]
    if (!fence || life <= fence.life || this.words.has(host)) return []
    fence.life = life
    return [this.#persist({})]
  }

  /** We were forgotten ourselves: we own nothing any more. */
  #fall(): Output[] {
    const height = this.height(this.host)
    if (height <= this.disk.generation) return []
    if (!this.law.mayBeLost()) {
      this.disk.generation = height
      return []
    }
    const blocks = this.disk.kept
    Object.assign(this.disk, { generation: height, kept: [], free: [], heir: {}, deeds: [] })
    this.file([])
    this.#usable.clear()
    this.#ask = undefined
    this.#gifts = []
    this.#later = []
    return [{ type: 'lost', blocks }]
  }

  #receive(from: string, word: Word): Output[] {
    const ask = this.#ask
    if (ask?.of !== from) return []
    if (ask.life !== word.life) this.#ask = undefined
    const gift = word.gifts.find(({ to, ask: id }) => to === this.host && id === ask.id)
    if (!gift || ask.life !== word.life) return []
    this.#ask = undefined
    if (!gift.blocks.every(block => this.#isGiversOrMine(block, from))) return []
    const { deed } = gift
    if (deed?.from === from && deed.to === this.host && this.isSigned(deed)) this.file([deed])
    this.disk.kept.push(...gift.blocks)
    return [this.#persist({ usable: gift.blocks })]
  }

  /** What was this host's before it was forgotten may be so again. */
  #isGiversOrMine(block: number, giver: string): boolean {
    return this.isOf(block, giver) || (this.owner(block) === this.host && !this.owns(block))
  }

  #persist(effects: Omit<Later, 'version'>): Output {
    const version = ++this.#version
    this.#later.push({ version, ...effects })
    return { type: 'persist', version, disk: structuredClone(this.disk) }
  }

  #persisted(version: number): Output[] {
    this.#durable = Math.max(this.#durable, version)
    const done = this.#later.filter(later => later.version <= version)
    this.#later = this.#later.filter(later => later.version > version)
    if (this.#durable === this.#version) {
      this.#fences = structuredClone(this.disk.fences)
      this.#deeds = structuredClone(this.disk.deeds ?? [])
    }
    for (const { gift } of done) if (gift) this.#gifts.push(gift)
    return []
  }

  /** Everything that what is known by now allows. */
  #go(): Output[] {
    this.#rise()
    return [...this.#succeed(), ...this.#use(), ...this.#give(), ...this.#seek()]
  }

  #rise(): void {
    if (this.level === 2 || !this.members) return
    const others = this.members.filter(host => !this.isForgotten(host))
    if (!others.every(host => this.#agreed.has(host))) return
    this.level = 2
    const claimed = this.claimed(true)
    this.disk.free = this.disk.free.filter(block => !claimed.has(block))
  }

  /** What a forgotten host had is ours, once everybody knows that it is no more its own. */
  #succeed(): Output[] {
    if (this.level < 2) return []
    return Object.entries(this.disk.heir).flatMap(([lost, { life, blocks, deeds = [] }]) => {
      if (this.#wasRevived(lost, life) || !this.#isKnown(lost)) return []
      delete this.disk.heir[lost]
      const claimed = this.claimed()
      this.disk.free.push(...blocks.filter(block => !claimed.has(block) && !this.owns(block)))
      this.file(deeds.filter(deed => this.isSigned(deed)))
      return [this.#persist({})]
    })
  }

  /** It came back before everybody knew, and may have gone on until it says itself that it has heard. */
  #wasRevived(lost: string, life: number): boolean {
    return this.isForgotten(lost) && (this.disk.fences[lost]?.life ?? 0) > life
  }

  #isKnown(lost: string): boolean {
    if ((this.#fences[lost]?.generation ?? 0) < this.height(lost)) return false
    const others = this.members?.filter(host => host !== lost && !this.isForgotten(host)) ?? []
    return others.every(host => this.#witnesses.get(lost)?.has(host))
  }

  /** Blocks that are durably ours are handed out of from level 1 on. */
  #use(): Output[] {
    const waiting = new Set(this.#later.flatMap(({ usable }) => usable ?? []))
    const ready = this.disk.kept.filter(block => !this.#usable.has(block) && !waiting.has(block))
    const missing = this.#wanted - this.disk.kept.length
    const more = this.level === 2 && missing > 0 ? this.disk.free.splice(0, missing) : []
    this.disk.kept.push(...more)
    const persist = more.length > 0 ? [this.#persist({ usable: more })] : []
    if (this.level === 0) return persist
    for (const block of ready) this.#usable.add(block)
    return [...ready.map(block => ({ type: 'usable' as const, block })), ...persist]
  }

  #give(): Output[] {
    this.#gifts = this.#gifts.filter(({ to, ask }) => this.words.get(to)?.ask?.id === ask)
    if (this.level < 2) return []
    return [...this.words].flatMap(([to, { ask }]) => {
      if (
        ask?.of !== this.host ||
        ask.life !== this.life ||
        this.#answered.has(ask.id) ||
        this.isForgotten(to)
      )
        return []
      const blocks = this.disk.free.splice(0, ask.count)
      if (blocks.length === 0) return []
      this.#answered.add(ask.id)
      return [this.#persist({ gift: { to, ask: ask.id, blocks, deed: this.deed(to, blocks) } })]
    })
  }

  /** Asks whoever has most to give. */
  #seek(): Output[] {
    const missing = this.#wanted - this.disk.kept.length
    const asked = this.#ask && this.words.get(this.#ask.of)
    if (missing <= 0) this.#ask = undefined
    if (missing <= 0 || this.level === 0 || (asked && asked.free.length > 0)) return []
    const [giver] = [...this.words]
      .filter(
        ([host, { level, free }]) =>
          host !== this.#avoided &&
          level === 2 &&
          free.slice(0, 1).some(block => this.#isGiversOrMine(block, host)) &&
          !this.isForgotten(host),
      )
      .sort(([, a], [, b]) => b.free.length - a.free.length)
    this.#avoided = undefined
    if (giver)
      this.#ask = { id: `${this.life} ${++this.#lots}`, of: giver[0], life: giver[1].life, count: missing }
    return []
  }
}
