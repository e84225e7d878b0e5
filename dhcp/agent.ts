import { BROADCAST, unwrap, wrap } from './frame.ts'
import { decode, encode } from './message.ts'
import type { Client, Input, Lease, Output, State, Turn } from './state.ts'
import { begin, release, resume, step } from './step.ts'

/** Sends whole Ethernet frames to the LAN behind a link. */
export type Line = { send(frame: Buffer): void; close(): void }

export type Happening =
  | { type: 'renewed'; lease: Lease; again: boolean }
  | { type: 'lost'; lease: Lease; why: 'refused' | 'expired'; words?: string }
  /** Nothing can be sent or heard on the link just now. */
  | { type: 'cut'; lease: Lease; error: Error }

export type Options = {
  /** Opens the LAN behind a link, by its name; throws when there is none. */
  open(link: string, hear: (frame: Buffer) => void): Line
  /** What became of a lease that is kept. */
  happened(link: string, client: Client, happening: Happening): void
  /** Milliseconds since 1970. */
  now(): number
  /** 0 to 1. */
  random(): number
  /** Milliseconds that a server may take to grant a lease. */
  patience?: number
  /** Milliseconds after which a clock that was set, or a host that slept, is noticed. */
  glance?: number
}

type Waiter = { promise: Promise<Lease>; done(lease: Lease): void; failed(error: Error): void }
type Party = { link: string; state: State; timer?: NodeJS.Timeout; waiter?: Waiter }

/** Clients of the DHCP servers behind any number of links: the step with a clock and sockets, which are only open while answers are due. */
export class Agent {
  readonly #options: Options
  readonly #parties = new Map<string, Party>()
  readonly #lines = new Map<string, Line>()

  constructor(options: Options) {
    this.#options = options
  }

  /** What a new client would be offered. Throws Error telling why nothing was. */
  inquire(link: string, mac: string): Promise<Lease> {
    const { now, random } = this.#options
    return this.#await(link, { mac }, begin({ mac }, { inquires: true }, now(), random))
  }

  /** A lease, to be kept until it is released. Throws Error telling why there is none. */
  acquire(link: string, client: Client, wanted?: string): Promise<Lease> {
    const { now, random } = this.#options
    const known = this.#parties.get(key(link, client))
    if (known?.waiter) return known.waiter.promise
    const { lease, lost } = known?.state ?? {}
    if (lease && !lost && (wanted ?? lease.address) === lease.address) return Promise.resolve(lease)
    return this.#await(link, client, begin(client, { wanted }, now(), random))
  }

  /** Keeps what an earlier life of this process was granted. */
  resume(link: string, client: Client, lease: Lease): void {
    const { now, random } = this.#options
    this.#follow(this.#add(link, client), resume(client, lease, now(), random))
  }

  /** Gives an address back; one that the client hasn't got any more is fine. */
  release(link: string, client: Client, address: string): void {
    const party = this.#parties.get(key(link, client))
    if (party?.state.lease?.address !== address) return
    this.#do(party, release(party.state, this.#options.random))
    this.#drop(party)
  }

  /** Forgets everything; leases stay granted. */
  close(): void {
    for (const party of [...this.#parties.values()]) this.#drop(party)
  }

  async #await(link: string, client: Client, turn: Turn): Promise<Lease> {
    const party = this.#add(link, client)
    const { promise, resolve, reject } = Promise.withResolvers<Lease>()
    const patience = this.#options.patience ?? 20_000
    const late = () => reject(new Error(`no DHCP server answered on ${link} within ${patience / 1000} s`))
    const timer = setTimeout(late, patience)
    party.waiter = { promise, done: resolve, failed: reject }
    try {
      this.#follow(party, turn)
      const lease = await promise
      if (party.state.inquires) this.#drop(party)
      return lease
    } catch (error) {
      this.#drop(party)
      throw error
    } finally {
      clearTimeout(timer)
      delete party.waiter
    }
  }

  #add(link: string, client: Client): Party {
    const before = this.#parties.get(key(link, client))
    if (before) this.#drop(before)
    const party = { link, state: { client } as State }
    this.#parties.set(key(link, client), party)
    return party
  }

  #drop(party: Party): void {
    clearTimeout(party.timer)
    const id = key(party.link, party.state.client)
    if (this.#parties.get(id) === party) this.#parties.delete(id)
    this.#tend(party.link)
  }

  #follow(party: Party, { state, outputs }: Turn): void {
    party.state = state
    clearTimeout(party.timer)
    this.#do(party, outputs)
    const { now, glance = 60_000 } = this.#options
    const wait = Math.min(Math.max(state.wake - now(), 0), glance)
    party.timer = setTimeout(() => this.#take(party, { type: 'tick' }), wait)
    this.#tend(party.link)
  }

  #take(party: Party, input: Input): void {
    const { now, random } = this.#options
    this.#follow(party, step(party.state, input, now(), random))
  }

  #do(party: Party, outputs: readonly Output[]): void {
    for (const output of outputs) this.#carryOut(party, output)
  }

  #carryOut(party: Party, output: Output): void {
    const { link, waiter, state } = party
    if (output.type === 'send') this.#send(party, output)
    else if (output.type === 'offered') waiter?.done(output.offer)
    else if (output.type === 'lost') this.#tell(party, output)
    else if (output.type === 'bound' && waiter) waiter.done(output.lease)
    else if (output.type === 'bound') this.#tell(party, { ...output, type: 'renewed' })
    else
      waiter?.failed(new Error(`the DHCP server on ${link} offers ${output.offered} and not ${state.wanted}`))
  }

  #tell({ link, state }: Party, happening: Happening): void {
    this.#options.happened(link, state.client, happening)
  }

  #send(party: Party, { message, to }: Extract<Output, { type: 'send' }>): void {
    const from = { mac: party.state.client.mac, address: message.ciaddr ?? '0.0.0.0' }
    try {
      this.#line(party.link).send(wrap(from, to ?? BROADCAST, encode(message)))
    } catch (error) {
      const { lease } = party.state
      if (party.waiter) party.waiter.failed(error as Error)
      else if (lease) this.#tell(party, { type: 'cut', lease, error: error as Error })
    }
  }

  #line(link: string): Line {
    const open = this.#lines.get(link)
    if (open) return open
    const line = this.#options.open(link, frame => this.#hear(link, frame))
    this.#lines.set(link, line)
    return line
  }

  #hear(link: string, frame: Buffer): void {
    const { payload, via } = unwrap(frame) ?? {}
    const message = payload && decode(payload)
    const party = message && this.#parties.get(key(link, message))
    if (party && via) this.#take(party, { type: 'heard', message, via })
  }

  /** A socket costs each frame of the link a look: none stays open for leases that only wait for their time. */
  #tend(link: string): void {
    const busy = [...this.#parties.values()].some(
      party => party.link === link && party.state.phase !== 'bound',
    )
    if (busy) return
    this.#lines.get(link)?.close()
    this.#lines.delete(link)
  }
}

const key = (link: string, { mac }: { mac: string }) => `${link} ${mac}`
