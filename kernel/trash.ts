import { delLink, NetlinkError, type Socket } from '@tsnet/netlink'
import { TRASH_GROUP } from './names.ts'

/** Milliseconds without new trash before it is emptied, and how long it may wait at most. */
const QUIET = 100
const LATEST = 1000
/** So many links are deleted at once without further waiting. */
const FULL = 64

/**
 * Links that nobody wants any more, deleted by group in the background: one costs the kernel 15 to 20 ms, a hundred
 * together hardly more. Their group is all that tells them apart, so a daemon after kill -9 finds and deletes them too.
 */
export class Trash {
  readonly #socket: Socket
  readonly #log: (words: string) => void
  #waiting = 0
  #since = 0
  #timer: NodeJS.Timeout | undefined
  #emptying: Promise<void> | undefined

  constructor(socket: Socket, log: (words: string) => void) {
    this.#socket = socket
    this.#log = log
  }

  /** So many links were put there, or found there. */
  add(count: number): void {
    if (this.#waiting === 0) this.#since = performance.now()
    this.#waiting += count
    clearTimeout(this.#timer)
    const left = this.#since + LATEST - performance.now()
    const wait = this.#waiting >= FULL ? 0 : Math.max(0, Math.min(QUIET, left))
    this.#timer = setTimeout(() => this.empty(), wait)
  }

  /** Resolves when everything that was there is gone. Never rejects. */
  async empty(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#emptying
    if (this.#waiting === 0) return
    this.#waiting = 0
    this.#emptying = this.#delete()
    await this.#emptying
  }

  async #delete(): Promise<void> {
    try {
      await this.#socket.background(delLink({ group: TRASH_GROUP }))
    } catch (error) {
      const gone = error instanceof NetlinkError && error.code === 'ENODEV'
      if (!gone) this.#log(`links of group ${TRASH_GROUP} were not deleted: ${(error as Error).message}`)
    }
  }
}
