import { type Generation, getGeneration, type Socket } from '@tsnet/netlink'

/** A transaction's announcement is heard soon after it; more than this many need not be kept. */
const KEPT = 256

/** Tells our own changes of the rule set from those of others, in whatever PID namespace we run. */
export class Generations {
  readonly #socket: Socket
  /** This thread's number as the kernel has it, not as our PID namespace does (NFTA_GEN_PROC_PID in the answer). */
  readonly #thread: number | undefined
  readonly #ours = new Set<number>()

  constructor(socket: Socket) {
    this.#socket = socket
    this.#thread = socket.request(getGeneration()).processId
  }

  /** Runs a program that makes at most one transaction. Should somebody else have made one meanwhile, it isn't ours. */
  during<T>(run: () => T): T {
    const before = this.#now()
    const result = run()
    if (this.#now() === before + 1) this.#ours.add(before + 1)
    for (const oldest of this.#ours) if (this.#ours.size > KEPT) this.#ours.delete(oldest)
    return result
  }

  isOurs({ id, processId }: Generation): boolean {
    return processId === this.#thread || this.#ours.delete(id ?? -1)
  }

  #now(): number {
    return this.#socket.request(getGeneration()).id ?? 0
  }
}
