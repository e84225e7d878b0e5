import { NLMSG, refusal } from './acknowledgement.ts'
import type { Channel } from './channel.ts'
import { NetlinkError } from './error.ts'
import type { Received, Request } from './message.ts'

/** A message's outcome: its reply (undefined for a mere acknowledgement), or why not. */
export type Outcome<Reply> = Reply | NetlinkError

/** One send stays below this, for the kernel copies it into one piece of memory. */
const MAX_BYTES = 32768

/** Requests that go in one send, and what becomes of each. Only the last asks for an acknowledgement: the others speak up when they fail. */
export class Part<Reply> {
  /** In the order of the requests. One that couldn't be written wasn't sent, and its outcome says why. */
  readonly outcomes: Outcome<Reply>[] = []
  readonly #channel: Channel
  readonly #requests: Request<Reply>[] = []

  constructor(channel: Channel) {
    this.#channel = channel
    channel.begin()
  }

  add(request: Request<Reply>): void {
    this.#requests.push(request)
    try {
      this.#channel.add(request)
      this.outcomes.push(undefined as Reply)
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error
      this.outcomes.push(error)
    }
  }

  /** Whether another request has to wait for the next part. */
  full(limit: number): boolean {
    return this.outcomes.length >= limit || this.#channel.size >= MAX_BYTES
  }

  send(): Outcome<Reply>[] {
    if (this.#channel.size === 0) return this.outcomes
    this.#channel.acknowledge()
    return this.#finish(this.#channel.exchange(message => this.#visit(message)))
  }

  /** As send, but the kernel works off this thread. */
  async sendLater(): Promise<Outcome<Reply>[]> {
    if (this.#channel.size === 0) return this.outcomes
    this.#channel.acknowledge()
    return this.#finish(await this.#channel.exchangeLater(message => this.#visit(message)))
  }

  #visit(message: Received): boolean {
    const place = message.sequence - this.#channel.first
    const request = this.#requests[place] as Request<Reply>
    this.outcomes[place] = told(request, message) ?? (this.outcomes[place] as Reply)
    return message.type === NLMSG.ERROR && message.sequence === this.#channel.last
  }

  #finish(errno: number): Outcome<Reply>[] {
    for (let place = 0; place < this.#requests.length; place++) {
      this.outcomes[place] ??= untold(this.#requests[place] as Request<Reply>, errno)
    }
    return this.outcomes
  }
}

/** What a message says of the request that it answers; undefined when it says that all went well. */
export function told<Reply>(request: Request<Reply>, message: Received): Outcome<Reply> | undefined {
  return message.type === NLMSG.ERROR ? refusal(message, 'request') : reply(request, message)
}

/** The outcome of a request that nothing was said of, in a conversation that ended with `errno` or, if 0, well. */
export function untold<Reply>(request: Request<Reply>, errno: number): Outcome<Reply> {
  if (errno) return NetlinkError.of(errno, 'request')
  return request.reply
    ? NetlinkError.malformed('the question was acknowledged and not answered')
    : (undefined as Reply)
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
