import { type Config, defaultVsn, lan, type Timing } from '../../gossip/config.ts'
import { type Endpoint, endpointText } from '../../gossip/endpoint.ts'
import { Keyring } from '../../gossip/keyring.ts'
import type { Member } from '../../gossip/member.ts'
import { openPacket, sealPacket, type Wrapping } from '../../gossip/packet.ts'
import { Schedule } from '../../gossip/schedule.ts'
import { type Event, type Input, type Output, type State, start } from '../../gossip/state.ts'
import { step } from '../../gossip/step.ts'
import { openStream, type StreamMessage, sealStream } from '../../gossip/stream.ts'

/** Mulberry32: the same numbers for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export type Seen = { at: number; event: Event }

export type Host = {
  readonly endpoint: Endpoint
  readonly config: Config
  state: State
  /** undefined while it is killed. */
  running: boolean
  paused: boolean
  /** What came while it was paused. */
  held: Input[]
  /** A restart makes timers of the life before stale. */
  life: number
  incarnation: number
  readonly events: Seen[]
  readonly contacted: string[]
  /** Most recent time it was told to wake. */
  wake: number
}

const wrapping: Wrapping = { keyring: new Keyring(), label: '', compress: false }
const noNonce = (): Buffer => Buffer.alloc(0)

/** Hosts on a clock and a network that are made up: datagrams are lost, links are cut, hosts stop, as the test says. */
export class VirtualNetwork {
  now = 0
  loss = 0
  /** Milliseconds that each message of a stream takes beside its way: machines that have much to do. */
  slowness = 0
  readonly hosts: Host[] = []
  readonly random: () => number
  cut: (a: Host, b: Host) => boolean = () => false
  heard: (host: Host, event: Event) => void = () => {}
  readonly #agenda = new Schedule<() => void>()
  readonly #answers = new Map<number, (message: StreamMessage) => void>()
  #streams = 0

  constructor(seed: number) {
    this.random = seeded(seed)
  }

  add(name: string, options: Partial<Config> & { timing?: Timing } = {}): Host {
    const endpoint = { address: `10.0.${this.hosts.length >> 8}.${this.hosts.length & 255}`, port: 7946 }
    const config = {
      name,
      endpoint,
      meta: Buffer.alloc(0),
      vsn: defaultVsn,
      incarnation: 1,
      seeds: [],
      packetSize: 1395,
      timing: lan,
      ...options,
    }
    const state = start(config, this.now, this.random)
    const host = {
      endpoint,
      config,
      state,
      running: true,
      paused: false,
      held: [],
      life: 0,
      incarnation: 1,
      events: [],
      contacted: [],
      wake: Infinity,
    }
    this.hosts.push(host)
    this.#arm(host)
    return host
  }

  /** As a new process: with the incarnation that was persisted, and no other memory. */
  restart(host: Host): void {
    host.life++
    host.running = true
    host.paused = false
    host.held = []
    host.wake = Infinity
    host.state = start({ ...host.config, incarnation: host.incarnation + 100 }, this.now, this.random)
    this.#arm(host)
  }

  kill(host: Host): void {
    host.running = false
    host.life++
  }

  pause(host: Host): void {
    host.paused = true
  }

  /** What came in the meantime is read before timers are looked at, as the agent does. */
  resume(host: Host): void {
    host.paused = false
    for (const input of host.held.splice(0)) this.input(host, input)
    host.wake = Infinity
    this.#arm(host)
  }

  input(host: Host, input: Input): void {
    if (!host.running) return
    if (host.paused) host.held.push(input)
    else {
      for (const output of step(host.state, input, this.now, this.random)) this.#do(host, output)
      this.#arm(host)
    }
  }

  join(host: Host, ...peers: Host[]): void {
    this.input(host, { kind: 'join', peers: peers.map(({ endpoint }) => endpoint) })
  }

  at(delay: number, action: () => void): void {
    this.#agenda.add(this.now + delay, action)
  }

  /** Lets time pass. */
  run(duration: number): void {
    const end = this.now + duration
    while (this.#agenda.next <= end) this.#next()
    this.now = end
  }

  /** Lets time pass until something holds; returns how long that took. Throws after `limit` ms of virtual time. */
  until(what: string, holds: () => boolean, limit: number): number {
    const begin = this.now
    while (!holds()) {
      if (this.now >= begin + limit) throw new Error(`not within ${limit} ms: ${what}`)
      this.run(20)
    }
    return this.now - begin
  }

  #next(): void {
    this.now = Math.max(this.now, this.#agenda.next)
    this.#agenda.take(this.now)?.()
  }

  #arm(host: Host): void {
    const due = Math.max(this.now, host.state.schedule.next)
    if (!host.running || host.paused || due >= host.wake) return
    host.wake = due
    const { life } = host
    this.#agenda.add(due, () => {
      if (host.life !== life || host.wake !== due || host.paused) return
      host.wake = Infinity
      this.input(host, { kind: 'tick' })
      this.#arm(host)
    })
  }

  #do(host: Host, output: Output): void {
    if (output.kind === 'packet') this.#transmit(host, output)
    else if (output.kind === 'dial') this.#dial(host, output)
    else if (output.kind === 'reply') this.#answers.get(output.stream)?.(output.message)
    else if (output.kind === 'event') this.#note(host, output.event)
    else if (output.kind === 'persist') host.incarnation = output.incarnation
    else if (output.kind === 'contacted') host.contacted.push(output.error ?? '')
  }

  #note(host: Host, event: Event): void {
    host.events.push({ at: this.now, event })
    this.heard(host, event)
  }

  #transmit(host: Host, { to, messages, crc }: Output & { kind: 'packet' }): void {
    const datagram = sealPacket(messages, crc, wrapping, noNonce)
    if (datagram.length > 1400) throw new Error(`a datagram of ${datagram.length} bytes`)
    const peer = this.#find(to)
    if (!peer || this.random() < this.loss) return
    this.at(this.#latency(), () => {
      if (!this.#connected(host, peer)) return
      const { messages, errors } = openPacket(datagram, wrapping)
      if (errors[0]) throw errors[0]
      this.input(peer, { kind: 'packet', from: host.endpoint, messages })
    })
  }

  #dial(host: Host, { dial, to, message, wait = 10_000 }: Output & { kind: 'dial' }): void {
    const { life } = host
    let open = true
    const end = (input: Input) => {
      if (open && host.life === life) this.input(host, input)
      open = false
    }
    const peer = this.#find(to)
    this.at(wait, () => end({ kind: 'hangup', dial, reason: 'no answer in time' }))
    if (!peer || !this.#connected(host, peer)) return
    const stream = this.#streams++
    this.#answers.set(stream, reply =>
      this.at(this.slowness + this.#latency(), () => {
        if (this.#connected(peer, host)) end({ kind: 'answer', dial, message: carried(reply, 'acceptor') })
      }),
    )
    this.at(this.slowness + this.#latency(), () =>
      this.input(peer, {
        kind: 'stream',
        stream,
        from: { ...host.endpoint, port: 50_000 },
        message: carried(message, 'dialler'),
      }),
    )
  }

  #find(to: Endpoint): Host | undefined {
    return this.hosts.find(({ endpoint }) => endpointText(endpoint) === endpointText(to))
  }

  #connected = (a: Host, b: Host): boolean => a.running && b.running && !this.cut(a, b)
  #latency = (): number => 0.2 + this.random() * 3
}

/** Through the wire and back. */
function carried(message: StreamMessage, side: 'dialler' | 'acceptor'): StreamMessage {
  const opened = openStream(sealStream(message, side, wrapping, noNonce), side, wrapping)
  if (opened === 'more' || opened instanceof Error) throw new Error(`a stream that cannot be read: ${opened}`)
  return opened
}

export const view = (host: Host): string =>
  [...host.state.members.values()]
    .filter(isThere)
    .map(({ name, meta, incarnation, status }) => `${name} ${status} ${incarnation} ${meta.toString('hex')}`)
    .sort()
    .join('\n')

const isThere = ({ status }: Member): boolean => status === 'alive' || status === 'suspect'

/** Every running host sees exactly the running hosts, all alive, and all the same. */
export function agreed(network: VirtualNetwork): boolean {
  const running = network.hosts.filter(host => host.running && host.state.leaving === 'no')
  const wanted = running.map(
    ({ config, state }) =>
      `${config.name} alive ${state.self.incarnation} ${state.self.meta.toString('hex')}`,
  )
  const all = wanted.sort().join('\n')
  return running.every(host => view(host) === all)
}

export const seen = (host: Host, type: Event['type'], name?: string): Seen[] =>
  host.events.filter(
    ({ event }) => event.type === type && (!name || ('member' in event && event.member.name === name)),
  )
