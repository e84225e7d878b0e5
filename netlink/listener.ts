import { EventEmitter } from 'node:events'
import { closeSync } from 'node:fs'
import { constants } from 'node:os'
import { descriptor, type Options } from './channel.ts'
import { NetlinkError } from './error.ts'
import { eachMessage, type Received } from './message.ts'
import { checked, native } from './native.ts'

/** Multicast groups of rtnetlink (enum rtnetlink_groups, linux/rtnetlink.h). */
export const RTNLGRP = {
  LINK: 1,
  NEIGH: 3,
  IPV4_IFADDR: 5,
  IPV4_ROUTE: 7,
  IPV4_RULE: 8,
  IPV6_IFADDR: 9,
  IPV6_ROUTE: 11,
  IPV6_RULE: 19,
} as const

/** Multicast groups of nfnetlink (enum nfnetlink_groups, linux/netfilter/nfnetlink.h). */
export const NFNLGRP = { CONNTRACK_NEW: 1, CONNTRACK_UPDATE: 2, CONNTRACK_DESTROY: 3, NFTABLES: 7 } as const

type Events = {
  /** What came at once, never empty. Bodies lie in a buffer that is used again: read them before returning. */
  messages: [Received[]]
  /** The kernel had more to tell than the socket could hold and dropped the rest: read everything again. */
  overrun: []
  /** The socket can't be read any more; it has been closed. */
  error: [NetlinkError]
}

const ROOM = 65536

/**
 * Listens to multicast groups. Readiness comes from the addon's waiting thread to this thread's event loop. Keeps the
 * process alive until it is closed.
 */
export class Listener extends EventEmitter<Events> implements Disposable {
  readonly #fd: number
  readonly #stop: () => void
  readonly #in = Buffer.alloc(ROOM)
  #closed = false

  constructor(options: Options & { groups: readonly number[] }) {
    super()
    this.#fd = descriptor(options)
    try {
      for (const group of options.groups) checked(native.join(this.#fd, group), `join group ${group}`)
      this.#stop = native.watch(this.#fd, () => this.#drain())
    } catch (error) {
      closeSync(this.#fd)
      throw error
    }
  }

  /** The ring is edge-triggered: whatever is left unread now would never ring again. */
  #drain(): void {
    while (!this.#closed) {
      const length = native.receive(this.#fd, this.#in, 0)
      if (length === -constants.errno.EAGAIN) return
      if (length === -constants.errno.ENOBUFS || length > ROOM) this.emit('overrun')
      else if (length < 0) this.#fail(NetlinkError.of(-length, 'listen'))
      else this.#hand(length)
    }
  }

  #hand(length: number): void {
    const received: Received[] = []
    eachMessage(this.#in, length, message => received.push(message) === 0)
    this.emit('messages', received)
  }

  #fail(error: NetlinkError): void {
    this.close()
    this.emit('error', error)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#stop()
    closeSync(this.#fd)
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** Opens a listener. Throws NetlinkError. */
export const listen = (options: Options & { groups: readonly number[] }): Listener => new Listener(options)
