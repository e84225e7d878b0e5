import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

type Waiting = { done: (body: string) => void; fail: (error: Error) => void }

/**
 * One kept connection to a driver's socket, spoken as dockerd speaks. Much lighter than node:http's client, whose own work
 * would hide the server's.
 */
export class Line {
  readonly #socket: Socket
  #waiting: Waiting | undefined
  #text = ''

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding('utf8').on('data', (part: string) => this.#hear(part))
    socket.on('error', error => this.#waiting?.fail(error))
    socket.on('close', () => this.#waiting?.fail(new Error('the connection was closed')))
  }

  static async open(path: string): Promise<Line> {
    const socket = connect(path)
    await once(socket, 'connect')
    return new Line(socket)
  }

  /** One request at a time. Rejects when the answer's status isn't 200. */
  ask(method: string, body?: object): Promise<string> {
    const text = body ? `${JSON.stringify(body)}\n` : ''
    this.#socket.write(
      `POST /${method} HTTP/1.1\r\nHost: \r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
    )
    return new Promise((done, fail) => {
      this.#waiting = { done, fail }
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  /** Answers are ASCII, so that Content-Length counts characters. */
  #hear(part: string): void {
    this.#text += part
    const head = this.#text.indexOf('\r\n\r\n')
    if (head < 0) return
    const length = Number(/content-length: (\d+)/i.exec(this.#text)?.[1] ?? 0)
    if (this.#text.length < head + 4 + length) return
    const body = this.#text.slice(head + 4)
    const failed = !this.#text.startsWith('HTTP/1.1 200')
    this.#text = ''
    if (failed) this.#waiting?.fail(new Error(body))
    else this.#waiting?.done(body)
  }
}

/** Shares work among several connections; answers the milliseconds of each piece. */
export async function spread<T>(
  lines: readonly Line[],
  pieces: readonly T[],
  work: (line: Line, piece: T) => Promise<unknown>,
): Promise<number[]> {
  const queue = [...pieces]
  const times: number[] = []
  const run = async (line: Line) => {
    for (let piece = queue.pop(); piece !== undefined; piece = queue.pop()) {
      const start = performance.now()
      await work(line, piece)
      times.push(performance.now() - start)
    }
  }
  await Promise.all(lines.map(run))
  return times
}
