import { createSocket, type Socket as Datagrams } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Socket, type Server as Streams } from 'node:net'
import { answer, readQuestion } from './answer.ts'
import type { Directory } from './directory.ts'
import { frame, framed, relay } from './relay.ts'

export type ServerParts = {
  /** UDP and TCP, every address of this host. */
  port: number
  directory: Directory
  /** The network that a container with this address is in; undefined for everybody else, who gets no answer. */
  networkOf: (address: string) => string | undefined
  /** Where questions go that aren't about containers. */
  resolvers: () => readonly string[]
  /** Their port, if it isn't DNS's. */
  relay?: { port: number }
  random: () => number
}

/** Questions that are being asked elsewhere at one time. More are dropped: whoever asked asks again. */
const MOST = 1_000
/** Bytes of a question by TCP. */
const LONGEST = 4_096
const IDLE = 10_000
/** Bytes of an answer by TCP. */
const WHOLE = 65_535

/** Answers containers' questions about each other, and passes all others on to the resolvers of this host. */
export class NameServer {
  readonly #parts: ServerParts
  readonly #datagrams: Datagrams
  readonly #streams: Streams
  #asking = 0

  private constructor(parts: ServerParts) {
    this.#parts = parts
    this.#datagrams = createSocket({ type: 'udp6' })
    this.#streams = createServer(socket => this.#serve(socket))
    this.#datagrams.on('message', (bytes, { address, port }) => {
      void this.#answer(bytes, address, 'udp').then(said => {
        // Whoever asked may be gone.
        if (said) this.#datagrams.send(said, port, address, () => {})
      })
    })
  }

  /** Throws what binding throws (EADDRINUSE). */
  static async open(parts: ServerParts): Promise<NameServer> {
    const server = new NameServer(parts)
    server.#datagrams.bind(parts.port)
    await once(server.#datagrams, 'listening')
    server.#streams.listen(server.port)
    await once(server.#streams, 'listening')
    for (const each of [server.#datagrams, server.#streams]) each.on('error', () => {})
    return server
  }

  get port(): number {
    return this.#datagrams.address().port
  }

  close(): void {
    this.#datagrams.close()
    this.#streams.close()
  }

  async #answer(bytes: Buffer, from: string, via: 'udp' | 'tcp'): Promise<Buffer | undefined> {
    const { directory, networkOf, resolvers, relay: at, random } = this.#parts
    const network = networkOf(plain(from))
    const question = network === undefined ? undefined : readQuestion(bytes)
    if (network === undefined || !question) return undefined
    const known = answer(directory, network, question, random, via === 'tcp' ? WHOLE : undefined)
    if (known) return known
    if (this.#asking >= MOST) return undefined
    this.#asking++
    try {
      return await relay(bytes, via, resolvers(), at?.port)
    } finally {
      this.#asking--
    }
  }

  #serve(socket: Socket): void {
    let heard: Buffer = Buffer.alloc(0)
    socket.setTimeout(IDLE, () => socket.destroy())
    socket.on('error', () => {})
    socket.on('data', async (part: Buffer) => {
      heard = Buffer.concat([heard, part])
      if (heard.length > LONGEST) return socket.destroy()
      const question = framed(heard)
      if (!question) return
      heard = heard.subarray(2 + question.length)
      const said = await this.#answer(question, socket.remoteAddress ?? '', 'tcp')
      if (said) socket.write(frame(said))
      else socket.destroy()
    })
  }
}

/** An IPv4 address that came by an IPv6 socket, as IPv4 writes it. */
const plain = (address: string) => address.replace(/^::ffff:(?=\d+\.)/, '')
