import { close } from 'node:fs'
import { checked, native } from './native.ts'

/** EtherTypes (linux/if_ether.h). */
export const ETH_P = { ARP: 0x0806, IPV6: 0x86dd } as const

/** Bytes: more than any frame that a filter lets through here. */
const ROOM = 2048

/** One instruction of classic BPF: code, jumps when true and false, operand (linux/filter.h). */
export type Instruction = readonly [code: number, yes: number, no: number, operand: number]

function program(instructions: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(instructions.length * 8)
  for (const [i, [code, yes, no, operand]] of instructions.entries()) {
    bytes.writeUInt16LE(code, i * 8)
    bytes.writeUInt8(yes, i * 8 + 2)
    bytes.writeUInt8(no, i * 8 + 3)
    bytes.writeUInt32LE(operand, i * 8 + 4)
  }
  return bytes
}

export type FramesOptions = {
  /** Number of the link. */
  index: number
  /** EtherType of what is heard. */
  protocol: number
  /** Lets through what it answers anything but 0 for; without, everything. */
  filter?: readonly Instruction[]
  /** Path of a network namespace; the thread's own without. */
  namespace?: string
}

/** Whole Ethernet frames of one link (packet(7)), sent and heard, without those that this host sends. Needs CAP_NET_RAW. */
export class Frames implements Disposable {
  readonly #fd: number
  readonly #stop: () => void
  readonly #in = Buffer.alloc(ROOM)
  #closed = false

  /** Throws NetlinkError: ENODEV without such a link. */
  constructor(
    { index, protocol, filter = [], namespace = '' }: FramesOptions,
    hear: (frame: Buffer) => void = () => {},
  ) {
    this.#fd = checked(native.frames(namespace, index, protocol, program(filter)), 'open frames')
    this.#stop = native.watch(this.#fd, () => this.#drain(hear))
  }

  /** Throws NetlinkError: ENETDOWN when the link is down. */
  send(frame: Buffer): void {
    checked(native.send(this.#fd, frame), 'send a frame')
  }

  /** The ring is edge-triggered: whatever is left unread now would never ring again. */
  #drain(hear: (frame: Buffer) => void): void {
    while (!this.#closed) {
      const length = native.receive(this.#fd, this.#in, 0)
      if (length < 0) return
      hear(Buffer.from(this.#in.subarray(0, length)))
    }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#stop()
    // The kernel takes 10 to 20 ms for it, an RCU grace period (packet_release in net/packet/af_packet.c): not on this thread.
    close(this.#fd, () => {})
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
