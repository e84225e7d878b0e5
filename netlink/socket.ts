import { constants } from 'node:os'
import { NLMSG, refusal } from './acknowledgement.ts'
import { Channel, type Options, RECEIVE_BUFFER } from './channel.ts'
import { NetlinkError, TransactionError } from './error.ts'
import { type Dump, NLM_F, type Received, type Request } from './message.ts'
import { batchBegin, batchEnd } from './netfilter/batch.ts'
import { type Outcome, Part, reply, told, untold } from './part.ts'

/** An unread answer occupies up to this much of the receive buffer (its skb's truesize). */
const ANSWER_COST = 4096
const MAX_MESSAGES = 256
const DUMP_ATTEMPTS = 20

function value<Reply>(outcome: Outcome<Reply> | undefined): Reply {
  if (outcome instanceof NetlinkError) throw outcome
  return outcome as Reply
}

/**
 * A netlink socket, used synchronously: each call returns when the kernel has answered. It stays in the network
 * namespace it was opened in. Every method throws NetlinkError with the kernel's own words.
 */
export class Socket implements Disposable {
  readonly #options: Options
  readonly #channel: Channel
  /** Messages of one send whose answers surely fit into the receive buffer. */
  readonly #limit: number

  constructor(options: Options) {
    this.#options = options
    this.#limit = Math.min(
      MAX_MESSAGES,
      Math.ceil(((options.receiveBuffer ?? RECEIVE_BUFFER) * 2) / ANSWER_COST),
    )
    this.#channel = new Channel(options)
  }

  /** Sends one message and returns its reply. */
  request<Reply>(message: Request<Reply>): Reply {
    const channel = this.#channel
    let outcome: Outcome<Reply> | undefined
    channel.begin()
    channel.add(message)
    channel.acknowledge()
    const errno = channel.exchange(received => {
      outcome = told(message, received) ?? outcome
      return received.type === NLMSG.ERROR
    })
    return value(outcome ?? untold(message, errno))
  }

  /**
   * As request, but the kernel works off this thread, on a socket of its own: for what takes tens of milliseconds, as
   * deleting links by group does.
   */
  async background<Reply>(message: Request<Reply>): Promise<Reply> {
    using channel = new Channel(this.#options)
    const part = new Part<Reply>(channel)
    part.add(message)
    return value((await part.sendLater())[0])
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
    throw new NetlinkError(
      'EINTR',
      constants.errno.EINTR,
      `dump: interrupted by changes ${DUMP_ATTEMPTS} times`,
    )
  }

  /**
   * Sends many messages, as many at a time as buffers allow, and answers one outcome each, in order; it goes on after
   * a failure.
   */
  batch<Reply>(requests: readonly Request<Reply>[]): Outcome<Reply>[] {
    const outcomes: Outcome<Reply>[] = []
    while (outcomes.length < requests.length) {
      const part = new Part<Reply>(this.#channel)
      for (let at = outcomes.length; at < requests.length && !part.full(this.#limit); at++) {
        part.add(requests[at] as Request<Reply>)
      }
      for (const outcome of part.send()) outcomes.push(outcome)
    }
    return outcomes
  }

  /**
   * nf_tables: all messages or none, between a batch's begin and end. Throws TransactionError with every failure: their
   * `index` says which message it was, undefined that it was the whole. Given the `generation` that was read before
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
      if (message.type !== NLMSG.ERROR) return false
      const index = message.sequence === channel.first ? undefined : message.sequence - channel.first - 1
      const failure = refusal(message, 'transaction', index)
      if (failure) failures.push(failure)
      return failure !== undefined || message.sequence === last
    }
    const errno = channel.exchange(visit)
    channel.drain(visit)
    const [worst] = failures.sort((a, b) => (a.index ?? -1) - (b.index ?? -1))
    if (worst) throw new TransactionError(worst, failures)
    if (errno) throw NetlinkError.of(errno, 'transaction')
  }

  close(): void {
    this.#channel.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** Undefined when the dump is to be asked again: it was interrupted, or an answer had no room, which there is by now. */
  #dump<Reply>(question: Dump<Reply>): Reply[] | undefined {
    const replies: Reply[] = []
    let failure: NetlinkError | undefined
    let interrupted = false
    this.#channel.begin()
    this.#channel.add(question)
    const errno = this.#channel.exchange(message => {
      interrupted ||= (message.flags & NLM_F.DUMP_INTR) !== 0
      if (message.type === NLMSG.ERROR || message.type === NLMSG.DONE) {
        failure ??= refusal(message, 'dump')
        return true
      }
      const answer = reply(question, message)
      if (answer instanceof NetlinkError) failure ??= answer
      else replies.push(answer)
      return false
    })
    if (errno && errno !== constants.errno.EMSGSIZE) throw NetlinkError.of(errno, 'dump')
    if (interrupted || errno) return undefined
    if (failure) throw failure
    return replies
  }
}

/** Opens a socket. Throws NetlinkError. */
export const open = (options: Options): Socket => new Socket(options)
