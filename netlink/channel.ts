import fs, { closeSync } from 'node:fs'
import { constants, endianness } from 'node:os'
import { promisify } from 'node:util'
import { NLMSG } from './acknowledgement.ts'
import { eachMessage, HEADER, NLM_F, type Received, type Request, writeMessage } from './message.ts'
import { checked, native } from './native.ts'
import { Writer } from './writer.ts'

/** Netlink families (linux/netlink.h). */
const PROTOCOLS = { route: 0, netfilter: 12 } as const

export type Options = {
  protocol: keyof typeof PROTOCOLS
  /** Path of the network namespace the socket is to live in (`/run/netns/x`, `/proc/1/ns/net`); without, the caller's own. */
  namespace?: string | undefined
  /** Bytes for answers not yet read (SO_RCVBUF; the kernel doubles it). */
  receiveBuffer?: number | undefined
}

export const RECEIVE_BUFFER = 1 << 20
const SEND_BUFFER = 1 << 20
/** The kernel queues its answer before send returns; whoever waits this long has met a kernel that lost it. */
const PATIENCE_SECONDS = 30
/**
 * Where answers arrive, for one conversation of a thread at a time. A dump's datagrams have at most 32 KiB (netlink_recvmsg in
 * net/netlink/af_netlink.c).
 */
let room: Buffer = Buffer.alloc(1 << 18)
/** Bytes of a request at first. */
const DRAFT = 4096

/** Opens a netlink socket with extended acks, capped acks and strict checking on. Throws NetlinkError. */
export function descriptor({ protocol, namespace = '', receiveBuffer = RECEIVE_BUFFER }: Options): number {
  if (endianness() !== 'LE') throw new Error('netlink: this package is for little-endian machines')
  const fd = native.open(PROTOCOLS[protocol], namespace, receiveBuffer, SEND_BUFFER, PATIENCE_SECONDS)
  return checked(fd, `open netlink ${protocol}${namespace && ` in ${namespace}`}`)
}

const { EMSGSIZE, ENOBUFS } = constants.errno

const write = promisify(fs.write)

/** One conversation at a time: messages are gathered, sent at once, and what comes back is handed over until someone has enough. */
export class Channel implements Disposable {
  readonly #fd: number
  readonly #out = new Writer(DRAFT)
  #sequence = 0
  /** Sequence number of the message that is to be acknowledged. */
  #acknowledged = 0
  /** Sequence number of the first message, and of the last one that could be written. */
  first = 0
  last = 0
  /** Where the last one begins. */
  #last = 0
  #closed = false

  constructor(options: Options) {
    this.#fd = descriptor(options)
  }

  begin(): void {
    this.#acknowledged = 0
    this.#out.at = 0
    this.first = this.#sequence + 1
    this.last = 0
  }

  /** Bytes gathered so far. */
  get size(): number {
    return this.#out.at
  }

  /**
   * Gathers one message. A value that has no place in it is a NetlinkError EINVAL; all
   * that is left of the message then is its sequence number.
   */
  add(request: Request<unknown>): void {
    const mark = this.#out.at
    this.#sequence++
    try {
      writeMessage(this.#out, request, this.#sequence)
      this.#last = mark
      this.last = this.#sequence
    } catch (error) {
      this.#out.at = mark
      throw error
    }
  }

  /** The message gathered last is to be acknowledged; without that, messages only speak up when they fail. */
  acknowledge(): void {
    this.#out.orU16(this.#last + 6, NLM_F.ACK)
    this.#acknowledged = this.last
  }

  /**
   * Sends what was gathered and hands over every answer to it, until `visit` returns true or the acknowledgement comes
   * that all went well, which isn't handed over. Answers 0, or the errno that
   * ended it: ENOBUFS when the kernel dropped answers, EMSGSIZE when one was larger than our room (which has grown
   * since), EAGAIN when none came.
   */
  exchange(visit: (message: Received) => boolean): number {
    if (this.#out.at > SEND_BUFFER) native.grow(this.#fd, this.#out.at)
    return this.#read(native.exchange(this.#fd, this.#out.bytes, this.#out.at, room), visit)
  }

  /** As exchange, but what the kernel does inside of send is done in libuv's thread pool. */
  async exchangeLater(visit: (message: Received) => boolean): Promise<number> {
    await write(this.#fd, this.#out.bytes, 0, this.#out.at, null)
    return this.#read(native.receive(this.#fd, room, 1), visit)
  }

  #read(first: number, visit: (message: Received) => boolean): number {
    let lost = 0
    for (let length = first; ; length = native.receive(this.#fd, room, lost ? 0 : 1)) {
      if (length > room.length) {
        room = Buffer.alloc(length)
        lost = EMSGSIZE
      } else if (length >= 0) {
        if (this.#succeeded(length) || this.#visit(length, visit)) return lost
      } else if (length === -ENOBUFS && lost === 0) {
        lost = ENOBUFS
      } else {
        return lost || -length
      }
    }
  }

  /** Reads what has come in the meantime and hands it over, never waiting. */
  drain(visit: (message: Received) => boolean): void {
    for (;;) {
      const length = native.receive(this.#fd, room, 0)
      if (length < 0) return
      this.#visit(Math.min(length, room.length), visit)
    }
  }

  /** The one answer that most conversations have, so it is recognised without being taken apart. */
  #succeeded(length: number): boolean {
    const bytes = room
    return (
      length >= HEADER + 4 &&
      bytes.readUInt16LE(4) === NLMSG.ERROR &&
      bytes.readUInt32LE(8) === this.#acknowledged &&
      bytes.readInt32LE(HEADER) === 0
    )
  }

  /** Answers to earlier conversations, which ended early, are passed over. */
  #visit(length: number, visit: (message: Received) => boolean): boolean {
    return eachMessage(room, length, message =>
      message.sequence >= this.first && message.sequence <= this.#sequence ? visit(message) : false,
    )
  }

  close(): void {
    if (!this.#closed) closeSync(this.#fd)
    this.#closed = true
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
