import {
  type Disk,
  emptyDisk,
  type Input,
  type Level,
  type Output,
  trusting,
  type Word,
} from '../../ipam/blocks.ts'
import { Blocks } from '../../ipam/blocks-step.ts'

/** What may happen. Numbers choose among what there is, so that any list is a run. */
export type Event =
  | { what: 'deliver' | 'write' | 'lose'; which: number }
  | { what: 'agree' | 'forget'; a: number; b: number }
  | {
      what: 'crash' | 'boot' | 'kill' | 'backup' | 'restore' | 'want' | 'elsewhere' | 'container'
      host: number
    }

export type Make = (host: string, life: number, disk: Disk, level: Level) => Blocks

/** A record as it is on its way: newer ones win, whenever they come. */
type Message = { from: string; to: string; epoch: number; seq: number; word: Word }

/** One host: its process may die with the machine, or alone (containers go on, and so does what /run says). */
class Host {
  readonly name: string
  process: Blocks | undefined
  up = false
  disk: Disk = emptyDisk()
  backup: Disk = emptyDisk()
  leases = new Set<string>()
  backupLeases = new Set<string>()
  /** Addresses that live containers have. */
  readonly running = new Set<string>()
  usable = new Set<number>()
  level: Level = 0
  writes: Extract<Output, { type: 'persist' }>[] = []
  seq = 0
  word: { epoch: number; seq: number; word: Word } | undefined
  /** Of every other host, the newest record. */
  readonly heard = new Map<string, { epoch: number; seq: number; word: Word }>()
  wanted = 0

  constructor(name: string) {
    this.name = name
  }
}

const perBlock = 2

/** Hosts that share a pool, with everything between them at the mercy of the events. */
export class Cluster {
  readonly hosts: Host[]
  readonly story: string[] = []
  messages: Message[] = []
  #lives = 0
  readonly #make: Make
  /** Who was told to forget a host, last. */
  readonly #heirs = new Map<string, string>()

  constructor(count: number, blocks: number, make?: Make) {
    const heirOf = (host: string) => this.#heirs.get(host)
    this.#make = make ?? ((...how) => new Blocks(...how, { ...trusting, heirOf }))
    this.hosts = Array.from({ length: count }, (_, at) => new Host('ABCDEFGH'[at] ?? `${at}`))
    for (const host of this.hosts) this.#boot(host, 0)
    for (const host of this.hosts) for (const other of this.hosts) this.#agree(host, other)
    const [first] = this.hosts
    if (first) this.#step(first, { type: 'create', blocks })
    for (const host of this.hosts) this.#write(host)
  }

  /** Undefined when this can't happen now; else the duplicate address that is there after it, or ''. */
  do(event: Event): string {
    const line = this.#happen(event)
    if (line) this.story.push(line)
    return this.duplicate()
  }

  duplicate(): string {
    const owner = new Map<string, string>()
    for (const { name, running } of this.hosts) {
      for (const address of running) {
        if (owner.has(address)) return `${address} is at ${owner.get(address)} and at ${name}`
        owner.set(address, name)
      }
    }
    return ''
  }

  #happen(event: Event): string | undefined {
    switch (event.what) {
      case 'deliver':
      case 'lose': {
        const [message] = this.messages.splice(event.which % (this.messages.length || 1), 1)
        if (!message) return undefined
        if (event.what === 'deliver') this.#deliver(message)
        return `${event.what} ${message.from} → ${message.to} (life ${message.epoch}, ${message.seq})`
      }
      case 'write': {
        const waiting = this.hosts.filter(({ writes }) => writes.length > 0)
        const host = waiting[event.which % (waiting.length || 1)]
        if (!host) return undefined
        this.#write(host)
        return `${host.name}'s disk has it`
      }
      case 'agree': {
        const [a, b] = [this.#host(event.a), this.#host(event.b)]
        if (a === b || !a.process || !b.process) return undefined
        this.#agree(a, b)
        return `${a.name} and ${b.name} agree: levels ${a.process.level}, ${b.process.level}`
      }
      case 'forget': {
        const [a, b] = [this.#host(event.a), this.#host(event.b)]
        // An operator's word that a host is off is true when it is given.
        if (a === b || b.up || !a.process) return undefined
        // Two that forget each other succeed each other: an operator gives no order at a host that doesn't know yet that it was forgotten.
        if (this.#heirs.get(a.name) === b.name && a.disk.generation === 0) return undefined
        this.#heirs.set(b.name, a.name)
        this.#step(a, { type: 'forget', host: b.name })
        return `${a.name} is told to forget ${b.name}`
      }
      default:
        return this.#local(event.what, this.#host(event.host))
    }
  }

  #local(what: string, host: Host): string | undefined {
    if (what === 'backup') {
      Object.assign(host, { backup: structuredClone(host.disk), backupLeases: new Set(host.leases) })
      return `${host.name}'s disk is backed up`
    }
    if (what === 'restore') {
      if (host.up) return undefined
      Object.assign(host, { disk: structuredClone(host.backup), leases: new Set(host.backupLeases) })
      return `${host.name}'s disk is restored`
    }
    if (what === 'boot') {
      if (host.up) return undefined
      this.#boot(host, 0)
      return `${host.name} boots (life ${this.#lives})`
    }
    const { process } = host
    if (!process) return undefined
    if (what === 'crash') {
      this.#stop(host)
      host.up = false
      host.running.clear()
      host.leases.clear()
      return `${host.name} crashes`
    }
    if (what === 'kill') {
      this.#stop(host)
      this.#boot(host, host.level)
      return `${host.name}'s daemon restarts (life ${this.#lives})`
    }
    if (what === 'want') this.#step(host, { type: 'want', kept: ++host.wanted })
    if (what === 'elsewhere') this.#step(host, { type: 'elsewhere' })
    if (what === 'container') return this.#container(host)
    return `${host.name}: ${what}`
  }

  /** The first free address of what may be handed out; its lease is on disk before. */
  #container(host: Host): string | undefined {
    const all = [...host.usable].flatMap(block =>
      Array.from({ length: perBlock }, (_, at) => `${block}.${at}`),
    )
    const address = all.find(one => !host.leases.has(one) && !host.running.has(one))
    if (!address) return undefined
    host.leases.add(address)
    host.running.add(address)
    return `${host.name} starts a container with ${address}`
  }

  #boot(host: Host, level: Level): void {
    host.up = true
    host.process = this.#make(host.name, ++this.#lives, host.disk, level)
    // The first one made the network.
    host.process.founder = this.hosts[0]?.name ?? host.name
    host.seq = 0
    this.#step(host, { type: 'members', hosts: this.hosts.map(({ name }) => name) })
    this.#step(host, { type: 'want', kept: host.wanted })
  }

  #stop(host: Host): void {
    host.process = undefined
    host.writes = []
    host.usable = new Set()
    host.heard.clear()
  }

  #step(host: Host, input: Input): void {
    if (!host.process) return
    const outputs = host.process.step(input)
    host.level = host.process.vouched
    for (const output of outputs) this.#do(host, output)
  }

  #do(host: Host, output: Output): void {
    if (output.type === 'persist') host.writes.push(output)
    else if (output.type === 'usable') host.usable.add(output.block)
    else if (output.type === 'lost') {
      host.usable.clear()
      host.running.clear()
    } else if (JSON.stringify(output.word) !== JSON.stringify(host.word?.word))
      this.#publish(host, output.word)
  }

  #publish(host: Host, word: Word): void {
    host.word = { epoch: word.life, seq: ++host.seq, word: structuredClone(word) }
    for (const other of this.hosts)
      if (other !== host) this.messages.push({ from: host.name, to: other.name, ...host.word })
    // What is superseded many times over may as well be lost.
    if (this.messages.length > 60) this.messages = this.messages.slice(-60)
  }

  #write(host: Host): void {
    const last = host.writes.at(-1)
    if (!last) return
    host.writes = []
    host.disk = structuredClone(last.disk)
    this.#step(host, { type: 'persisted', version: last.version })
  }

  #deliver({ from, to, epoch, seq, word }: Message): void {
    const host = this.hosts.find(({ name }) => name === to)
    const known = host?.heard.get(from)
    if (!host?.process || (known && (known.epoch > epoch || (known.epoch === epoch && known.seq >= seq))))
      return
    host.heard.set(from, { epoch, seq, word })
    this.#step(host, { type: 'heard', from, word: structuredClone(word) })
  }

  /** Two tables become equal: each has told the other all that it knows, of third ones too. */
  #agree(a: Host, b: Host): void {
    if (a === b) return
    for (let round = 0; round < 6 && !this.#isEqual(a, b); round++) {
      this.#tell(a, b)
      this.#tell(b, a)
    }
    if (!this.#isEqual(a, b)) return
    this.#step(a, { type: 'agreed', with: b.name })
    if (this.#isEqual(a, b)) this.#step(b, { type: 'agreed', with: a.name })
  }

  #tell(from: Host, to: Host): void {
    for (const [name, record] of this.#records(from))
      if (name !== to.name) this.#deliver({ from: name, to: to.name, ...record })
  }

  #records(host: Host) {
    return new Map([...host.heard, ...(host.word ? ([[host.name, host.word]] as const) : [])])
  }

  #isEqual(a: Host, b: Host): boolean {
    const [one, other] = [this.#records(a), this.#records(b)]
    const text = (records: typeof one) =>
      JSON.stringify(
        [...records]
          .map(([name, { epoch, seq }]) => [name, epoch, seq])
          .sort((x, y) => (`${x[0]}` < `${y[0]}` ? -1 : 1)),
      )
    return text(one) === text(other)
  }

  #host(number: number): Host {
    return this.hosts[number % this.hosts.length] as Host
  }
}
