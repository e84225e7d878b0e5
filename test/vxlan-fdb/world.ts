import { hash } from 'node:crypto'
import {
  type Change,
  digest,
  type Entry,
  type Input,
  originOf,
  type Signer,
  statedRank,
  step,
  Table,
  usual,
  wakeAt,
} from '../../vxlan-fdb/index.ts'
import type { Output } from '../../vxlan-fdb/outputs.ts'
import { Agenda } from './agenda.ts'

/** What the network and the machines do to messages. Times in milliseconds, shares between 0 and 1. */
export type Weather = {
  /** One way, and how much longer at most. */
  delay: number
  jitter: number
  loss: number
  doubled: number
  /** What a machine's one thread is busy with: a datagram out, one in, a signature checked, one made. */
  send: number
  receive: number
  verify: number
  sign: number
}

export const fair: Weather = {
  delay: 0.2,
  jitter: 0.3,
  loss: 0,
  doubled: 0,
  send: 0.02,
  receive: 0.05,
  verify: 0.2,
  sign: 0.1,
}

/** Figures of memberlist's gossip on a LAN: every 200 ms to three members, each message so often. */
const gossipEvery = 200
const gossipTo = 3
const timesOf = (count: number) => 4 * Math.ceil(Math.log10(count + 1))
/** Room in a gossip datagram. */
const gossipRoom = 1400

type Queued = { bytes: Buffer; times: number }

/** One machine: its table, its disk, what it has heard. */
export class Node {
  readonly id: string
  readonly signer: Signer & { worked: number }
  readonly disk = {
    epoch: 0,
    fence: 0,
    pins: new Map<string, Buffer>(),
    fences: new Map<string, number>(),
    incumbents: new Map<string, string>(),
  }
  table: Table
  /** What it wants to say: survives a crash, as containers do. */
  readonly says = new Map<string, Entry>()
  up = true
  life = 0
  part = 0
  readonly inbox: (() => Input)[] = []
  running = false
  gossip: Queued[] = []
  readonly log: Output[] = []

  constructor(world: World, number: number) {
    const key = hash('sha256', `key ${number}`, 'buffer')
    this.signer = cheapSigner(key, world.weather)
    this.id = originOf(key)
    this.table = this.fresh(world)
  }

  fresh(world: World): Table {
    const { id, signer, disk } = this
    return new Table({ ...usual, origin: id, signer, rank: statedRank, ...world.settings }, disk)
  }
}

/** A network of machines on a clock of its own. Everything follows from the seed. */
export class World {
  now = 0
  readonly agenda = new Agenda<() => void>()
  readonly nodes: Node[]
  readonly byId: Map<string, Node>
  readonly random: () => number
  readonly weather: Weather
  readonly settings: object
  sent = { direct: 0, stream: 0, gossip: 0, bytes: 0 }
  onChange: (node: Node, changes: Change[]) => void = () => {}
  onAgree: (node: Node, member: string) => void = () => {}

  constructor(count: number, seed: number, weather: Partial<Weather> = {}, settings: object = {}) {
    this.random = dice(seed)
    this.weather = { ...fair, ...weather }
    this.settings = settings
    this.nodes = Array.from({ length: count }, (_, number) => new Node(this, number))
    this.byId = new Map(this.nodes.map(node => [node.id, node]))
    for (const node of this.nodes) this.meet(node)
  }

  /** Everybody in its part of the network learns that a machine is there, and it of them. */
  meet(node: Node): void {
    for (const other of this.nodes) {
      if (other === node || !other.up) continue
      this.post(node, { type: 'member', id: other.id, alive: true })
      this.post(other, { type: 'member', id: node.id, alive: true })
    }
    this.gossipRound(node, node.life)
  }

  start(node: Node): void {
    node.disk.epoch = Math.max(node.disk.epoch + 1, Math.floor(this.now))
    this.post(node, {
      type: 'start',
      epoch: node.disk.epoch,
      fence: node.disk.fence,
      entries: [...node.says.values()],
    })
  }

  say(node: Node, entries: Entry[]): void {
    for (const entry of entries) {
      if (entry.value) node.says.set(entry.key, entry)
      else node.says.delete(entry.key)
    }
    this.post(node, { type: 'write', entries })
  }

  crash(node: Node): void {
    node.up = false
    node.life++
    node.inbox.length = 0
    node.gossip = []
    for (const other of this.nodes) this.post(other, { type: 'member', id: node.id, alive: false })
  }

  restart(node: Node): void {
    node.up = true
    node.table = node.fresh(this)
    this.meet(node)
    this.start(node)
  }

  /** Runs until nothing is left to do or a time is reached. */
  run(until: number): void {
    for (let next = this.agenda.next(until); next; next = this.agenda.next(until)) {
      this.now = Math.max(this.now, next.at)
      next.what()
    }
    this.now = until
  }

  /** Until a condition holds, looked at every few milliseconds; the time it took, or undefined. */
  until(condition: () => boolean, limit: number, every = 50): number | undefined {
    const begun = this.now
    while (this.now - begun <= limit) {
      if (condition()) return this.now - begun
      this.run(this.now + every)
    }
    return undefined
  }

  post(node: Node, input: Input): void {
    if (!node.up) return
    node.inbox.push(() => input)
    this.#wake(node)
  }

  /** The machine takes this input before anything else, and at no cost. */
  atOnce(node: Node, input: Input): void {
    for (const output of step(node.table, input, this.now, this.random)) this.#do(node, output, 0)
    this.#sleep(node)
  }

  #wake(node: Node): void {
    if (node.running) return
    node.running = true
    const { life } = node
    this.agenda.add(this.now, () => this.#turn(node, life))
  }

  /** A machine takes one input and is busy for as long as that costs. */
  #turn(node: Node, life: number): void {
    node.running = false
    const input = node.life === life && node.inbox.shift()
    if (!input) {
      if (node.inbox.length > 0) this.#wake(node)
      return
    }
    node.signer.worked = 0
    const outputs = step(node.table, input(), this.now, this.random)
    let busy = this.weather.receive + node.signer.worked
    for (const output of outputs) {
      if (output.type === 'direct' || output.type === 'stream') busy += this.weather.send
      this.#do(node, output, busy)
    }
    node.running = true
    this.agenda.add(this.now + busy, () => {
      node.running = false
      if (node.life !== life) return
      if (node.inbox.length > 0) this.#wake(node)
      else this.#sleep(node)
    })
  }

  #sleep(node: Node): void {
    const { life, table } = node
    this.agenda.add(Math.max(wakeAt(table), this.now), () => {
      if (node.life === life && !node.running && wakeAt(table) <= this.now) this.post(node, { type: 'tick' })
    })
  }

  #do(node: Node, output: Output, after: number): void {
    switch (output.type) {
      case 'direct':
        this.sent.direct++
        this.sent.bytes += output.bytes.length
        this.#datagram(node, output.to, output.bytes, 'direct', after)
        return
      case 'stream':
        this.sent.stream++
        this.sent.bytes += output.bytes.length
        this.#stream(node, output.to, output.bytes, after)
        return
      case 'broadcast':
        node.gossip.push({ bytes: output.bytes, times: 0 })
        return
      case 'changed':
        this.onChange(node, output.changes)
        return
      case 'agreed':
        node.log.push(output)
        this.onAgree(node, output.member)
        return
      case 'epoch':
        node.disk.epoch = output.epoch
        this.#later(node, { type: 'epoch', epoch: output.epoch }, 2)
        return
      case 'pin':
        node.disk.pins.set(output.origin, output.key)
        return
      case 'fence':
        node.disk.fences.set(output.origin, output.fence)
        return
      case 'defied':
        node.disk.fence = output.fence
        node.log.push(output)
        return
      case 'conflict':
        if (output.conflict) node.disk.incumbents.set(output.claim, output.conflict.winner.origin)
        else node.disk.incumbents.delete(output.claim)
        node.log.push(output)
        return
      default:
        node.log.push(output)
    }
  }

  #later(node: Node, input: Input, after: number): void {
    const { life } = node
    this.agenda.add(this.now + after, () => {
      if (node.life === life) this.post(node, input)
    })
  }

  #datagram(from: Node, to: string, bytes: Buffer, via: 'direct' | 'broadcast', after: number): void {
    if (this.random() < this.weather.loss) return
    this.#carry(from, to, bytes, via, after + this.#way())
    if (this.random() < this.weather.doubled) this.#carry(from, to, bytes, via, after + this.#way() * 3)
  }

  /** A connection: two ways more to open it, and 200 ms for each packet that has to be sent again. */
  #stream(from: Node, to: string, bytes: Buffer, after: number): void {
    let time = 3 * this.#way()
    for (let packets = Math.ceil(bytes.length / 1400) + 2; packets > 0; packets--)
      if (this.random() < this.weather.loss) time += packets > 2 ? 5 * this.weather.delay : 200
    this.#carry(from, to, bytes, 'stream', after + time)
  }

  #way(): number {
    return this.weather.delay + this.random() * this.weather.jitter
  }

  #carry(from: Node, id: string, bytes: Buffer, via: 'direct' | 'broadcast' | 'stream', after: number): void {
    const to = this.byId.get(id)
    if (!to || from.part !== to.part) return
    this.agenda.add(this.now + after, () => {
      if (to.up && from.part === to.part) this.post(to, { type: 'received', from: from.id, via, bytes })
    })
  }

  /** Every 200 ms, a full datagram to three others. */
  gossipRound(node: Node, life: number): void {
    this.agenda.add(this.now + this.random() * gossipEvery, () => this.#gossip(node, life))
  }

  #gossip(node: Node, life: number): void {
    if (node.life !== life) return
    this.agenda.add(this.now + gossipEvery, () => this.#gossip(node, life))
    for (let target = 0; target < gossipTo && node.gossip.length > 0; target++) {
      const to = this.nodes[Math.floor(this.random() * this.nodes.length)]
      if (to && to !== node) this.#gossipTo(node, to.id)
    }
  }

  #gossipTo(node: Node, to: string): void {
    let room = gossipRoom
    node.gossip.sort((a, b) => a.times - b.times)
    for (const one of node.gossip) {
      if (one.bytes.length + 3 > room) continue
      room -= one.bytes.length + 3
      one.times++
      this.sent.gossip++
      this.sent.bytes += one.bytes.length
      this.#datagram(node, to, one.bytes, 'broadcast', 0)
    }
    node.gossip = node.gossip.filter(({ times }) => times < timesOf(this.nodes.length))
  }
}

/** What a table shows, as text: two that are equal give the same. */
export function picture(table: Table): string {
  return [...table.rows()]
    .map(
      ({ origin, network, kind, key, value }) =>
        `${origin} ${network} ${kind} ${key} ${value?.toString('hex')}`,
    )
    .sort()
    .join('\n')
}

/** Whether all living machines have the same table. */
export function equal(world: World): boolean {
  const tables = world.nodes.filter(({ up }) => up).map(({ table }) => table)
  const roots = new Set(tables.map(table => digest(table).toString('hex')))
  return roots.size === 1 && new Set(tables.map(picture)).size === 1
}

/** Mulberry32. */
export function dice(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let value = Math.imul(state ^ (state >>> 15), state | 1)
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A keyed hash in place of a signature: whoever has the public key could make one, which nobody does here. */
function cheapSigner(key: Buffer, weather: Weather): Signer & { worked: number } {
  const mark = (by: Buffer, bytes: Buffer) => {
    const half = hash('sha1', Buffer.concat([by, bytes]), 'buffer')
    return Buffer.concat([half, Buffer.alloc(44)])
  }
  return {
    worked: 0,
    publicKey: key,
    sign(bytes) {
      this.worked += weather.sign
      return mark(key, bytes)
    },
    verify(by, bytes, signature) {
      this.worked += weather.verify
      return mark(by, bytes).equals(signature)
    },
  }
}
