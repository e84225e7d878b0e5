import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { type Served, type Service, serve } from '../../bin/serve.ts'

export type Answer = { status: number; body: Record<string, unknown> }
export type LogLine = { level: number; msg: string; path?: string; err?: { message: string } }

/** A served method table with a socket in a folder of its own. */
export type Bed = {
  path: string
  log: LogLine[]
  /** Sends a body, as JSON unless it is text, over one kept connection. */
  call(name: string, body?: unknown, headers?: Record<string, string>, verb?: string): Promise<Answer>
  /** Ends everything, also when it was closed before. */
  stop(): Promise<void>
} & Served

export async function bed(service: Omit<Service, 'path' | 'log'>): Promise<Bed> {
  const folder = mkdtempSync(join(tmpdir(), 'ts-test-driver-'))
  const path = join(folder, 'plugins', 'tsnet.sock')
  const log: LogLine[] = []
  const logger = pino({ level: 'debug' }, { write: line => void log.push(JSON.parse(line)) })
  const { close } = await serve({ ...service, path, log: logger })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  let closing: Promise<void> | undefined
  const once = () => {
    closing ??= close()
    return closing
  }
  return {
    path,
    log,
    close: once,
    call: (name, body, headers = {}, verb = 'POST') =>
      call(path, agent, verb, `/${name}`, text(body), headers),
    async stop() {
      agent.destroy()
      await once()
      rmSync(folder, { recursive: true })
    },
  }
}

/** Go's encoder ends every value with a newline. */
function text(body: unknown): string | Buffer {
  if (body === undefined) return ''
  if (typeof body === 'string' || Buffer.isBuffer(body)) return body
  return `${JSON.stringify(body)}\n`
}

/** As dockerd sends it: no Content-Type, always a Content-Length. */
function call(
  socketPath: string,
  agent: Agent,
  method: string,
  path: string,
  body: string | Buffer,
  headers: Record<string, string>,
): Promise<Answer> {
  const length = headers['transfer-encoding'] ? {} : { 'content-length': String(Buffer.byteLength(body)) }
  return new Promise((done, failed) => {
    const sent = request({ socketPath, agent, method, path, headers: { host: '', ...length, ...headers } })
    sent.on('error', failed)
    sent.on('response', async response => {
      const chunks = await response.toArray()
      const answer = Buffer.concat(chunks).toString()
      done({ status: response.statusCode ?? 0, body: answer ? JSON.parse(answer) : {} })
    })
    sent.end(body)
  })
}

/** Bytes of one request, as dockerd writes them. */
export function bytes(name: string, body?: unknown): Buffer {
  const payload = text(body)
  const head = [
    `POST /${name} HTTP/1.1`,
    'Host: plugin.moby.localhost',
    'User-Agent: Go-http-client/1.1',
    `Content-Length: ${Buffer.byteLength(payload)}`,
    'Accept: application/vnd.docker.plugins.v1.2+json',
  ]
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${payload}`)
}

/**
 * Writes pieces to a connection of its own, each after the one before has left, and returns everything that came back until
 * the daemon hung up, or until `enough` of it came.
 */
export function raw(
  path: string,
  pieces: readonly Buffer[],
  { end = false, enough = (_: string) => false }: { end?: boolean; enough?: (heard: string) => boolean } = {},
): Promise<string> {
  return new Promise((done, failed) => {
    const socket = connect(path)
    let heard = ''
    socket.on('data', chunk => {
      heard += chunk.toString('latin1')
      if (enough(heard)) socket.destroy()
    })
    socket.on('close', () => done(heard))
    // The daemon may hang up on garbage while more of it is on its way.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') failed(error)
    })
    const next = (index: number): void => {
      const piece = pieces[index]
      if (piece) socket.write(piece, () => setImmediate(next, index + 1))
      else if (end) socket.end()
    }
    next(0)
  })
}

/** Status lines in what a connection heard. */
export const statuses = (heard: string) =>
  [...heard.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(match => Number(match[1]))
