import { randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import type { Socket } from 'node:net'
import { largestUserMessage } from './commands.ts'
import { type Config, defaultVsn, lan, type Timing, type Vsn } from './config.ts'
import { type Endpoint, endpointText } from './endpoint.ts'
import { Keyring } from './keyring.ts'
import { Malformed } from './malformed.ts'
import type { Member } from './member.ts'
import { openPacket, overhead, sealPacket, type Wrapping } from './packet.ts'
import { bind, dial, limit, receive, type Sockets } from './sockets.ts'
import { type Event, type Input, type Output, type State, start } from './state.ts'
import { step } from './step.ts'
import { openStream, type Side, type StreamMessage, sealStream } from './stream.ts'

export type Options = {
  /** The same for the whole life of the host. */
  name: string
  /** Address and port of both UDP and TCP, an address that the others reach; port 0 takes a free one. */
  bind: Endpoint
  /** The address that the others are told, if it is another one. */
  advertise?: string
  /** AES keys, the one to encrypt with first. Without any, everybody who reaches the port is believed. */
  keys?: readonly Uint8Array[]
  /** Name of the cluster; packets of others are dropped. */
  label?: string
  meta?: Buffer
  vsn?: Vsn
  timing?: Timing
  /** Peers to find, again and again. */
  seeds?: readonly Endpoint[]
  /** The incarnation that was last persisted, if there was an earlier life. */
  incarnation?: number
  /** Called with each new incarnation. */
  persist?: (incarnation: number) => void
  /** What this node adds to a push/pull. */
  userState?: (join: boolean) => Buffer
  /** Compress what gets smaller by it. */
  compress?: boolean
}

type Happenings = { [T in Event['type']]: [Extract<Event, { type: T }>] } & {
  /** A packet or stream that was dropped, and why. */
  malformed: [{ from: Endpoint; reason: string }]
  /** An attempt to find a seed or a lost member ended. */
  contacted: [{ peer: Endpoint; error?: string }]
}

/** Room in a datagram, as memberlist's UDPBufferSize. */
const datagramSize = 1400
/** A stream lives no longer, unless a probe needs its answer earlier; milliseconds, as memberlist's TCPTimeout. */
const streamTime = 10_000
/** Above every incarnation whose persisting the end of the last life may have prevented. */
const incarnationGap = 100

/** One node of a memberlist cluster: the step with a clock and sockets. */
export class Agent extends EventEmitter<Happenings> {
  readonly keyring: Keyring
  readonly endpoint: Endpoint
  readonly #options: Options
  readonly #sockets: Sockets
  readonly #wrapping: Wrapping
  readonly #state: State
  readonly #streams = new Map<number, Socket>()
  readonly #open = new Set<Socket>()
  #nextStream = 0
  #timer: NodeJS.Timeout | undefined
  #wake = Number.POSITIVE_INFINITY
  #closed = false
  #left = Promise.withResolvers<void>()

  /** Binds; throws the bind's own error (EADDRINUSE, EADDRNOTAVAIL, EACCES), or RangeError for a wrong option. */
  static async open(options: Options): Promise<Agent> {
    const keyring = new Keyring(options.keys)
    const wrapping = { keyring, label: options.label ?? '', compress: options.compress ?? true }
    const packetSize = datagramSize - overhead(wrapping)
    return new Agent(options, await bind(options.bind), wrapping, packetSize)
  }

  private constructor(options: Options, sockets: Sockets, wrapping: Wrapping, packetSize: number) {
    super()
    this.#options = options
    this.#sockets = sockets
    this.#wrapping = wrapping
    this.keyring = wrapping.keyring
    this.endpoint = { address: options.advertise ?? sockets.endpoint.address, port: sockets.endpoint.port }
    this.#state = start(configure(options, this.endpoint, packetSize), now(), Math.random)
    options.persist?.(this.#state.self.incarnation)
    this.#listen()
    this.#arm()
  }

  /** Every node that is known, dead ones for a while; this one too. */
  members(): Readonly<Member>[] {
    return [...this.#state.members.values()]
  }

  member(name: string): Readonly<Member> | undefined {
    return this.#state.members.get(name)
  }

  get self(): Readonly<Member> {
    return this.#state.self
  }

  /** Lifeguard's health score, 0 to 7: 0 is healthy. */
  get awareness(): number {
    return this.#state.awareness
  }

  /** Most bytes of a message in a datagram. */
  get largestMessage(): number {
    return largestUserMessage(this.#state)
  }

  /** Exchanges state with each peer; the promise is of each one's error, undefined for those that answered. */
  async join(peers: readonly Endpoint[]): Promise<(string | undefined)[]> {
    const results = peers.map(peer => this.#contact(peer))
    this.#input({ kind: 'join', peers })
    return Promise.all(results)
  }

  /** After a life at another address: tells peers that it is over, and joins them. */
  move(peers: readonly Endpoint[]): void {
    this.#input({ kind: 'move', peers })
  }

  async #contact(peer: Endpoint): Promise<string | undefined> {
    const text = endpointText(peer)
    for (;;) {
      const [result] = await once(this, 'contacted')
      if (endpointText(result.peer) === text) return result.error
    }
  }

  /** Throws RangeError above 512 bytes. */
  setMeta(meta: Buffer): void {
    this.#input({ kind: 'meta', meta })
  }

  /** What goes with our answer to each member's ping. */
  setAckPayload(payload: Buffer): void {
    this.#input({ kind: 'ackPayload', payload })
  }

  /**
   * By gossip to some dozen nodes; to everybody if each that hears it for the first time broadcasts it too, which only the
   * user can tell. A later one of the same name takes its place in the queue. Throws RangeError above `largestMessage`.
   */
  broadcast(payload: Buffer, name?: string): void {
    this.#input({ kind: 'broadcast', payload, ...(name !== undefined && { name }) })
  }

  /** One datagram. Throws RangeError above `largestMessage`. */
  send(to: Endpoint, payload: Buffer): void {
    this.#input({ kind: 'send', to, payload, reliable: false })
  }

  /** Over a stream of its own, up to 20 MiB; whether it arrived the peer must say. */
  sendReliably(to: Endpoint, payload: Buffer): void {
    this.#input({ kind: 'send', to, payload, reliable: true })
  }

  /** Tells the others; resolves when they have been told, or after `wait` milliseconds. */
  async leave(wait = 5000): Promise<void> {
    this.#input({ kind: 'leave' })
    const timeout = Promise.withResolvers<void>()
    const timer = setTimeout(timeout.resolve, wait)
    await Promise.race([this.#left.promise, timeout.promise])
    clearTimeout(timer)
  }

  /** Ends without a word; the others will find it dead unless it has left. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#timer)
    for (const socket of this.#open) socket.destroy()
    const { datagrams, server } = this.#sockets
    await Promise.all([
      new Promise<void>(done => datagrams.close(done)),
      new Promise(done => server.close(done)),
    ])
  }

  #listen(): void {
    const { datagrams, server } = this.#sockets
    datagrams.on('message', (bytes, { address, port }) => this.#datagram(bytes, { address, port }))
    // An ICMP error of some earlier datagram says nothing that a missing answer doesn't.
    datagrams.on('error', () => {})
    server.on('connection', socket => void this.#accept(socket))
    server.on('error', () => {})
  }

  #datagram(bytes: Buffer, from: Endpoint): void {
    const { messages, errors } = openPacket(bytes, this.#wrapping)
    for (const { message } of errors) this.emit('malformed', { from, reason: message })
    if (messages.length) this.#input({ kind: 'packet', from, messages })
  }

  async #accept(socket: Socket): Promise<void> {
    const from = { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 }
    const stream = this.#nextStream++
    try {
      this.#track(limit(socket, streamTime))
      const message = await this.#read(socket, 'dialler')
      this.#streams.set(stream, socket)
      this.#input({ kind: 'stream', stream, from, message })
    } catch (error) {
      this.emit('malformed', { from, reason: (error as Error).message })
    } finally {
      this.#streams.delete(stream)
      socket.end()
    }
  }

  async #read(socket: Socket, side: Side): Promise<StreamMessage> {
    return receive(socket, received => {
      const message = openStream(received, side, this.#wrapping)
      if (message instanceof Malformed) throw message
      return message
    })
  }

  #track(socket: Socket): void {
    this.#open.add(socket)
    socket.once('close', () => this.#open.delete(socket))
    // Whoever reads or writes it sees the error too.
    socket.on('error', () => {})
  }

  /** One thing happens, and what follows from it is done. */
  #input(input: Input): void {
    if (this.#closed) return
    for (const output of step(this.#state, input, now(), Math.random)) this.#do(output)
    this.#arm()
  }

  #do(output: Output): void {
    switch (output.kind) {
      case 'packet':
        this.#transmit(output)
        break
      case 'dial':
        void this.#dial(output)
        break
      case 'reply':
        this.#streams.get(output.stream)?.write(this.#seal(output.message, 'acceptor'))
        break
      case 'event':
        ;(this.emit as (type: string, event: Event) => boolean).call(this, output.event.type, output.event)
        break
      case 'persist':
        this.#options.persist?.(output.incarnation)
        break
      case 'contacted':
        this.emit('contacted', output)
        break
      case 'left':
        this.#left.resolve()
    }
  }

  #transmit({ to, messages, crc }: Output & { kind: 'packet' }): void {
    const datagram = sealPacket(messages, crc, this.#wrapping, randomBytes)
    // What can't be sent is as good as lost, and gossip lives with that.
    this.#sockets.datagrams.send(datagram, to.port, to.address, () => {})
  }

  async #dial({ dial: id, to, message, wait = streamTime }: Output & { kind: 'dial' }): Promise<void> {
    try {
      const socket = dial(to, this.#sockets.endpoint.address, wait)
      this.#track(socket)
      const bytes = this.#seal(message, 'dialler')
      if (message.type === 'user') return await this.#sendOnly(socket, bytes, id)
      socket.write(bytes)
      const answer = await this.#read(socket, 'acceptor')
      socket.end()
      this.#input({ kind: 'answer', dial: id, message: answer })
    } catch (error) {
      this.#input({ kind: 'hangup', dial: id, reason: (error as Error).message })
    }
  }

  async #sendOnly(socket: Socket, bytes: Buffer, id: number): Promise<void> {
    socket.end(bytes)
    socket.resume()
    await once(socket, 'close')
    this.#input({ kind: 'hangup', dial: id, reason: 'sent' })
  }

  #seal(message: StreamMessage, side: Side): Buffer {
    const userState = message.type === 'pushPull' && this.#options.userState?.(message.join)
    return sealStream(userState ? { ...message, userState } : message, side, this.#wrapping, randomBytes)
  }

  #arm(): void {
    const due = this.#state.schedule.next
    if (this.#closed || due === this.#wake) return
    this.#wake = due
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#tick(), Math.max(0, Math.ceil(due - now())))
  }

  /** After a pause answers may wait in the sockets: they are read before anybody is called late. */
  #tick(): void {
    setImmediate(() => {
      this.#wake = Number.POSITIVE_INFINITY
      this.#input({ kind: 'tick' })
    })
  }
}

const now = (): number => performance.now()

function configure(options: Options, endpoint: Endpoint, packetSize: number): Config {
  const { name, meta, vsn, seeds, timing, incarnation } = options
  return {
    name,
    endpoint,
    packetSize,
    meta: meta ?? Buffer.alloc(0),
    vsn: vsn ?? defaultVsn,
    seeds: seeds ?? [],
    timing: timing ?? lan,
    incarnation: incarnation === undefined ? 1 : incarnation + incarnationGap,
  }
}
