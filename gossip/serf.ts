import { EventEmitter } from 'node:events'
import type { Agent, Options } from './agent.ts'
import { addressText, type Endpoint } from './endpoint.ts'
import { list, text } from './kinds.ts'
import { attempt, Malformed } from './malformed.ts'
import { Reader } from './msgpack.ts'
import { answerKeyQuery, isKeyQuery } from './serf-keys.ts'
import { LamportClock, Recent } from './serf-log.ts'
import { decodeSerf, encodeSerf, encodeTags, type SerfMessage, type SerfMessageOf } from './serf-messages.ts'

type Happenings = {
  /** A user event, once. */
  userEvent: [{ name: string; payload: Buffer }]
}

/** What the flags of a query and of its answer say. */
const flag = { ack: 1, noBroadcast: 2 } as const
/** First byte of a query's filter: the names of those who shall answer. */
const nodeFilter = 0

/**
 * As much of serf as a node needs that lives in a serf cluster: tags, intents to join and leave, user events both ways,
 * queries for keys, push/pull. Put between an agent and its user:
 *
 *     const layer = new SerfLayer()
 *     const agent = await Agent.open({ ...options, vsn: serfVsn, ...layer.options })
 *     layer.attach(agent)
 */
export class SerfLayer extends EventEmitter<Happenings> {
  #agent: Agent | undefined
  readonly #clock = new LamportClock()
  readonly #eventClock = new LamportClock()
  readonly #queryClock = new LamportClock()
  readonly #events = new Recent(this.#eventClock)
  readonly #queries = new Recent(this.#queryClock)
  /** When each member last joined or left. */
  readonly #statusTimes = new Map<string, { time: number; left: boolean }>()

  /** What an agent below needs. */
  readonly options = { userState: () => this.#pushPull() } satisfies Partial<Options>

  attach(agent: Agent): void {
    this.#agent = agent
    agent.on('user', ({ payload, from }) => this.#heard(payload, from))
    agent.on('userState', ({ userState }) => this.#merge(userState))
    agent.on('forget', ({ member }) => this.#statusTimes.delete(member.name))
  }

  /** Joins as serf does: the peers learn that an earlier leave is over. */
  async join(peers: readonly Endpoint[]): Promise<(string | undefined)[]> {
    const results = await this.#node.join(peers)
    const intent = { type: 'join', LTime: this.#clock.next(), Node: this.#node.self.name } as const
    this.#heardIntent(intent)
    this.#broadcast(intent)
    return results
  }

  /** Tells of the intent first: a peer that heard memberlist's message before it would take us for failed. */
  async leave(propagate = 1000): Promise<void> {
    const intent = {
      type: 'leave',
      LTime: this.#clock.next(),
      Node: this.#node.self.name,
      Prune: false,
    } as const
    this.#heardIntent(intent)
    this.#broadcast(intent)
    await new Promise(done => setTimeout(done, propagate))
    await this.#node.leave()
  }

  setTags(tags: Readonly<Record<string, string>>): void {
    this.#node.setMeta(encodeTags(tags))
  }

  /** Throws RangeError if it is too large for a datagram. */
  userEvent(name: string, payload: Buffer): void {
    const event = {
      type: 'userEvent',
      LTime: this.#eventClock.next(),
      Name: name,
      Payload: payload,
      CC: false,
    } as const
    this.#events.admit(event.LTime, eventKey(event))
    this.#broadcast(event)
  }

  get #node(): Agent {
    if (!this.#agent) throw new Error('the serf layer is attached to no agent')
    return this.#agent
  }

  #broadcast(message: SerfMessage): void {
    this.#node.broadcast(encodeSerf(message))
  }

  #heard(payload: Buffer, from: Endpoint): void {
    const message = decodeSerf(payload)
    if (message instanceof Malformed) this.#node.emit('malformed', { from, reason: message.message })
    else if (this.#isNews(message)) this.#node.broadcast(payload)
  }

  /** Acts on a message; true if it shall be passed on. */
  #isNews(message: SerfMessage): boolean {
    if (message.type === 'join' || message.type === 'leave') return this.#heardIntent(message)
    if (message.type === 'userEvent') return this.#heardEvent(message)
    return message.type === 'query' && this.#heardQuery(message)
  }

  #heardIntent({ type, LTime, Node }: SerfMessageOf<'join'> | SerfMessageOf<'leave'>): boolean {
    this.#clock.witness(LTime)
    const left = type === 'leave'
    const known = this.#statusTimes.get(Node)
    if (known && known.time >= LTime) return false
    this.#statusTimes.set(Node, { time: LTime, left })
    return true
  }

  #heardEvent(event: SerfMessageOf<'userEvent'>): boolean {
    if (!this.#events.admit(event.LTime, eventKey(event))) return false
    this.emit('userEvent', { name: event.Name, payload: event.Payload })
    return true
  }

  #heardQuery(query: SerfMessageOf<'query'>): boolean {
    if (!this.#queries.admit(query.LTime, String(query.ID))) return false
    if (query.Filters.every(filter => this.#passes(filter))) this.#answer(query)
    return (query.Flags & flag.noBroadcast) === 0
  }

  /** A filter by tags, which are regular expressions of Go's, is passed by nobody here. */
  #passes(filter: Buffer): boolean {
    if (filter[0] !== nodeFilter) return false
    const names = attempt(() => list(text).read(new Reader(filter, 1)))
    return !(names instanceof Malformed) && names.includes(this.#node.self.name)
  }

  #answer(query: SerfMessageOf<'query'>): void {
    if (query.Flags & flag.ack) this.#respond(query, flag.ack, Buffer.alloc(0))
    if (isKeyQuery(query.Name))
      this.#respond(query, 0, answerKeyQuery(query.Name, query.Payload, this.#node.keyring))
  }

  /** To members only: a query names the address to answer to. */
  #respond({ LTime, ID, Addr, Port }: SerfMessageOf<'query'>, Flags: number, Payload: Buffer): void {
    const address = addressText(Addr)
    const peer = this.#node
      .members()
      .find(({ endpoint }) => endpoint.address === address && endpoint.port === Port)
    const From = this.#node.self.name
    if (peer)
      this.#node.send(peer.endpoint, encodeSerf({ type: 'queryResponse', LTime, ID, From, Flags, Payload }))
  }

  #pushPull(): Buffer {
    const times = [...this.#statusTimes]
    return encodeSerf({
      type: 'pushPull',
      LTime: this.#clock.time,
      StatusLTimes: new Map(times.map(([name, { time }]) => [name, time])),
      LeftMembers: times.filter(([, { left }]) => left).map(([name]) => name),
      EventLTime: this.#eventClock.time,
      Events: [],
      QueryLTime: this.#queryClock.time,
    })
  }

  /** Times in a push/pull are of the clocks themselves, one above the last that was given. */
  #merge(userState: Buffer): void {
    const remote = decodeSerf(userState)
    if (remote instanceof Malformed || remote.type !== 'pushPull') return
    this.#clock.witness(remote.LTime - 1)
    this.#eventClock.witness(remote.EventLTime - 1)
    this.#queryClock.witness(remote.QueryLTime - 1)
    this.#mergeIntents(remote)
    for (const slot of remote.Events) this.#replay(slot)
  }

  #mergeIntents({ LeftMembers, StatusLTimes }: SerfMessageOf<'pushPull'>): void {
    const left = new Set(LeftMembers)
    for (const [Node, LTime] of StatusLTimes) {
      if (left.has(Node)) this.#heardIntent({ type: 'leave', LTime, Node, Prune: false })
      else this.#heardIntent({ type: 'join', LTime, Node })
    }
  }

  #replay(slot: SerfMessageOf<'pushPull'>['Events'][number]): void {
    for (const { Name, Payload } of slot?.Events ?? [])
      this.#heardEvent({ type: 'userEvent', LTime: slot?.LTime ?? 0, Name, Payload, CC: false })
  }
}

const eventKey = ({ Name, Payload }: SerfMessageOf<'userEvent'>): string =>
  `${Name}\0${Payload.toString('latin1')}`
