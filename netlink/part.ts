import { NLMSG, refusal } from './acknowledgement.ts'
import type { Channel } from './channel.ts'
import { NetlinkError } from './error.ts'
import type { Received, Request } from './message.ts'

/** A message's outcome: its reply (undefined for a mere acknowledgement), or why not. */
export type Outcome<Reply> = Reply | NetlinkError

/** One send stays below this, for the kernel copies it into one piece of memory. */
const MAX_BYTES = 32768

type Sent<Reply> = { request: Request<Reply>; place: number }

/** Requests that go in one send, and what becomes of each. Only the last asks for an acknowledgement: the others speak up when they fail. */
export class Part<Reply> {
  /** In the order of the requests. One that couldn't be written wasn't sent, and its outcome says why. */
  readonly outcomes: Outcome<Reply>[] = []
  readonly #channel: Channel
  readonly #sent: Sent<Reply>[] = []

  constructor(channel: Channel) {
    this.#channel = channel
    channel.begin()
  }

  add(request: Request<Reply>): void {
    const place = this.outcomes.length
    try {
      this.#channel.add(request)
      this.#sent.push({ request, place })
      this.outcomes.push(undefined as Reply)
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error
      this.outcomes.push(error)
    }
  }

  /** Whether another request has to wait for the next part. */
  full(limit: number): boolean {
    return this.#sent.length >= limit || this.#channel.size >= MAX_BYTES
  }

  send(): Outcome<Reply>[] {
    if (this.#sent.length === 0) return this.outcomes
    this.#channel.acknowledge()
    return this.#finish(this.#channel.exchange(message => this.#visit(message)))
  }

  /** As send, but the kernel works off this thread. */
  async sendLater(): Promise<Outcome<Reply>[]> {
    if (this.#sent.length === 0) return this.outcomes
    this.#channel.acknowledge()
    return this.#finish(await this.#channel.exchangeLater(message => this.#visit(message)))
  }

  #visit(message: Received): boolean {
    const { request, place } = this.#sent[message.sequence - this.#channel.first] as Sent<Reply>
    if (message.type !== NLMSG.ERROR) this.outcomes[place] = reply(request, message)
    else this.outcomes[place] = refusal(message, 'request') ?? (this.outcomes[place] as Reply)
    return message.type === NLMSG.ERROR && message.sequence === this.#channel.last
  }

  #finish(errno: number): Outcome<Reply>[] {
    for (const { request, place } of this.#sent) {
      if (this.outcomes[place] !== undefined) continue
      if (errno) this.outcomes[place] = NetlinkError.of(errno, 'request')
      else if (request.reply)
        this.outcomes[place] = NetlinkError.malformed('the question was acknowledged and not answered')
    }
    return this.outcomes
  }
}

/** The reply in a message, or that it can't be read. */
export function reply<Reply>(request: Request<Reply>, message: Received): Outcome<Reply> {
  if (!request.reply) return undefined as Reply
  try {
    return request.reply(message.bytes, message.from, message.to)
  } catch (error) {
    if (error instanceof NetlinkError) return error
    throw error
  }
}
