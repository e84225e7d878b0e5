import { constants } from 'node:os'
import { NLMSG, refusal } from './acknowledgement.ts'
import { Channel, type Options, RECEIVE_BUFFER } from './channel.ts'
import { NetlinkError } from './error.ts'
import { type Dump, NLM_F, type Received, type Request } from './message.ts'
import { batchBegin, batchEnd } from './netfilter/batch.ts'

/** An unread answer occupies up to this much of the receive buffer (its skb's truesize). */
const ANSWER_COST = 4096
const MAX_MESSAGES = 256
/** One send of a batch stays below this, for the kernel copies it into one piece of memory. */
const MAX_BYTES = 32768
const DUMP_ATTEMPTS = 20

/** A message's outcome in a batch: its reply (undefined for a mere acknowledgement), or why not. */
export type Outcome<Reply> = Reply | NetlinkError

/**
 * A netlink socket, used synchronously: each call returns when the kernel has answered. It stays in the network
 * namespace it was opened in. Every method throws NetlinkError with the kernel's own words.
 */
export class Socket implements Disposable {
  readonly #channel: Channel
  readonly #limit: number

  constructor(options: Options) {
    this.#limit = Math.min(
      MAX_MESSAGES,
      Math.ceil(((options.receiveBuffer ?? RECEIVE_BUFFER) * 2) / ANSWER_COST),
    )
    this.#channel = new Channel(options)
  }

  /** Sends one message and returns its reply. */
  request<Reply>(message: Request<Reply>): Reply {
    const outcome = this.#some([message], 0)[0]
    if (outcome instanceof NetlinkError) throw outcome
    return outcome as Reply
  }

  /**
   * All answers to a question. A dump that was changed under the kernel's feet (NLM_F_DUMP_INTR) is asked again; when
   * that never ends, EINTR.
   */
  dump<Reply>(message: Dump<Reply>): Reply[] {
    for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
      const replies = this.#dump(message)
      if (replies) return replies
    }
    throw new NetlinkError('EINTR', 4, `the dump was interrupted by changes ${DUMP_ATTEMPTS} times`)
  }

  /** Sends many messages, as many at a time as buffers allow, and answers one outcome each, in order; it goes on after a failure. */
  batch<Reply>(requests: readonly Request<Reply>[]): Outcome<Reply>[] {
    const outcomes: Outcome<Reply>[] = []
    while (outcomes.length < requests.length) {
      for (const outcome of this.#some(requests, outcomes.length)) outcomes.push(outcome)
    }
    return outcomes
  }

  /**
   * nf_tables: all messages or none, between a batch's begin and end. Throws the first failure; its `index` says which
   * message it was, undefined that it was the batch as a whole. Given the `generation` that was read before
   * (getGeneration), the kernel answers ERESTART when the rule set has moved on since.
   */
  transaction(requests: readonly Request<unknown>[], generation?: number): void {
    if (requests.length === 0) return
    const channel = this.#channel
    channel.begin()
    channel.add(batchBegin(generation))
    for (const request of requests) channel.add(request)
    channel.acknowledge()
    const last = channel.last
    channel.add(batchEnd)
    const failures: NetlinkError[] = []
    const visit = (message: Received): boolean => {
      const index = message.sequence === channel.first ? undefined : message.sequence - channel.first - 1
      const failure = message.type === NLMSG.ERROR ? refusal(message, 'transaction', index) : undefined
      if (failure) failures.push(failure)
      return failure !== undefined || (message.type === NLMSG.ERROR && message.sequence === last)
    }
    const errno = channel.exchange(visit)
    channel.drain(visit)
    const worst = failures.sort((a, b) => (a.index ?? -1) - (b.index ?? -1))[0]
    if (worst) throw worst
    if (errno) throw NetlinkError.of(errno, 'transaction')
  }

  close(): void {
    this.#channel.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** One send of requests from `at` on. Whatever could not be written was not sent, and its outcome says why. */
  #some<Reply>(requests: readonly Request<Reply>[], at: number): Outcome<Reply>[] {
    const channel = this.#channel
    const outcomes: Outcome<Reply>[] = []
    /** Place in `outcomes` of each message that was sent. */
    const sent: number[] = []
    channel.begin()
    while (at + outcomes.length < requests.length && sent.length < this.#limit && channel.size < MAX_BYTES) {
      try {
        channel.add(requests[at + outcomes.length] as Request<Reply>)
        sent.push(outcomes.length)
        outcomes.push(undefined as Reply)
      } catch (error) {
        if (!(error instanceof NetlinkError)) throw error
        outcomes.push(error)
      }
    }
    if (sent.length > 0) this.#collect(requests, at, outcomes, sent)
    return outcomes
  }

  #collect<Reply>(
    requests: readonly Request<Reply>[],
    at: number,
    outcomes: Outcome<Reply>[],
    sent: number[],
  ): void {
    const channel = this.#channel
    channel.acknowledge()
    const errno = channel.exchange(message => {
      const place = sent[message.sequence - channel.first] as number
      if (message.type !== NLMSG.ERROR)
        outcomes[place] = reply(requests[at + place] as Request<Reply>, message)
      else outcomes[place] = refusal(message, 'request') ?? (outcomes[place] as Reply)
      return message.type === NLMSG.ERROR && message.sequence === channel.last
    })
    if (errno) for (const place of sent) outcomes[place] ??= NetlinkError.of(errno, 'request')
  }

  /** Undefined when the dump is to be asked again. */
  #dump<Reply>(message: Dump<Reply>): Reply[] | undefined {
    const channel = this.#channel
    const replies: Reply[] = []
    let failure: NetlinkError | undefined
    let interrupted = false
    channel.begin()
    channel.add(message)
    const errno = channel.exchange(received => {
      interrupted ||= (received.flags & NLM_F.DUMP_INTR) !== 0
      if (received.type === NLMSG.ERROR || received.type === NLMSG.DONE) {
        failure ??= refusal(received, 'dump')
        return true
      }
      const answer = reply(message, received)
      if (answer instanceof NetlinkError) failure ??= answer
      else replies.push(answer)
      return false
    })
    if (failure) throw failure
    if (errno && errno !== constants.errno.EMSGSIZE) throw NetlinkError.of(errno, 'dump')
    return interrupted || errno ? undefined : replies
  }
}

/** The reply in a message, or that it can't be read. */
function reply<Reply>(request: Request<Reply>, message: Received): Outcome<Reply> {
  if (!request.reply) return undefined as Reply
  try {
    return request.reply(message.bytes, message.from, message.to)
  } catch (error) {
    if (error instanceof NetlinkError) return error
    throw error
  }
}

/** Opens a socket. */
export const open = (options: Options): Socket => new Socket(options)
