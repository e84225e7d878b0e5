import { once } from 'node:events'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Logger } from 'pino'
import { Refused } from '../core/errors.ts'
import { type Method, type MethodTable, Worded } from '../core/methods.ts'
import { listen } from './listen.ts'

// `import` reads every getter of the module, and one of them loads an HTTP client: 4 MB for nothing.
const { createServer } = process.getBuiltinModule('node:http')

export type Service = {
  /** Path of the Unix socket. */
  path: string
  methods: MethodTable
  log: Logger
  /** Milliseconds a request may take. Docker itself waits forever for a legacy plugin. */
  deadline?: number
  /** Mode of the socket's file. */
  mode?: number
}

export type Served = {
  /** Takes no more connections, answers every request that has begun, then resolves. */
  close(): Promise<void>
}

/**
 * Speaks a method table on a Unix socket: `POST /Name`, JSON in and out, whatever the Content-Type and Host. Every error
 * is one sentence in both `Err` and `Error`, for Docker's two protocols differ: 400 is the caller's fault, 500 ours, 404 an
 * unknown method (the status that Docker takes for "not implemented"), 504 the deadline's.
 *
 * Refused when another daemon listens at the path.
 */
export async function serve({
  path,
  mode = 0o600,
  deadline = 25_000,
  methods,
  log,
}: Service): Promise<Served> {
  const open = new Set<ServerResponse>()
  const known = new Map(Object.entries(methods))
  const server = createServer(CONNECTIONS, (request, response) => {
    open.add(response)
    const timer = setTimeout(late, deadline, request, response, deadline)
    response.once('close', () => {
      open.delete(response)
      clearTimeout(timer)
    })
    void answer(request, response, known, log)
  })
  await listen(server, path, mode)
  return { close: () => close(server, open) }
}

/**
 * dockerd keeps idle connections for good and dials some that it uses later, so neither may time out: its next request
 * would race with our hanging up. Up to 20.10 it sends an empty Host.
 */
const CONNECTIONS = { keepAliveTimeout: 0, headersTimeout: 0, requestTimeout: 0, requireHostHeader: false }

/** Bytes of a request. The largest that Docker has reason to send publishes every port of a container: 7 MB. */
const LIMIT = 8 * 2 ** 20

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  methods: ReadonlyMap<string, Method>,
  log: Logger,
): Promise<void> {
  const path = pathOf(request)
  if (request.method !== 'POST') return fail(response, 405, `${request.method} is not spoken here, only POST`)
  const method = methods.get(path.slice(1))
  if (!method) {
    log.info({ path }, 'unknown method')
    return fail(response, 404, `${path} is not a method of this daemon`)
  }
  try {
    const body = await read(request)
    // The last of the body may come in while the caller is told that it came too late.
    if (response.headersSent || body === undefined) return
    const said = await call(method, body)
    if (response.headersSent) log.warn({ path }, 'done after the caller was told of the deadline')
    else send(response, 200, said ?? {})
  } catch (error) {
    refuse(response, error instanceof Error ? error : new Error(`thrown: ${error}`), path, log)
  }
}

/** Without a query, and without the host that a proxy would be told. */
const pathOf = ({ url = '' }: IncomingMessage) => url.replace(/^http:\/\/[^/]*|\?.*$/g, '')

/** The whole body; undefined when the caller went before it was there. */
function read(request: IncomingMessage): Promise<Buffer | undefined> {
  const { 'content-encoding': encoding = 'identity' } = request.headers
  return new Promise((done, failed) => {
    if (encoding !== 'identity')
      failed(new Unread(415, `the request can't be read: encoding "${encoding}" is not spoken here`))
    const parts: Buffer[] = []
    let length = 0
    request.on('data', (part: Buffer) => {
      length += part.length
      if (length > LIMIT) failed(new Unread(413, `the request is larger than ${LIMIT} bytes`))
      else parts.push(part)
    })
    request.once('end', () => done(parts.length === 1 ? parts[0] : Buffer.concat(parts)))
    request.once('close', () => done(undefined))
  })
}

/** A body that can't be taken. */
class Unread extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

function refuse(response: ServerResponse, error: Error, path: string, log: Logger): void {
  if (error instanceof Worded) {
    log.info({ path, ...error.body }, 'refused')
    send(response, error.status, error.body)
    return
  }
  const [status, sentence] = explain(error)
  if (status >= 500) log.error({ path, err: error }, sentence)
  else log.info({ path, status }, sentence)
  fail(response, status, sentence)
}

/** Checks the body's shape and runs. Refused before anything happened when the body is missing or wrong. */
async function call({ shape, run }: Method, body: Buffer | undefined): Promise<object | undefined> {
  if (!shape) return (await run(undefined)) ?? undefined
  // dockerd repeats a request whose connection broke with the buffer it has already drained: what it asked for is lost.
  if (!body?.length)
    throw new Refused('the request has no body, so it is a repetition that lost it; nothing was done')
  const { success, data, error } = shape.safeParse(parse(body.toString()))
  if (!success) throw new Refused(sentence(error.issues[0]))
  return (await run(data)) ?? undefined
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch (error) {
    throw new Refused(`the request is not JSON: ${(error as Error).message}`)
  }
}

/** `Interface.Address: invalid IPv4 range` */
function sentence(issue: { path: PropertyKey[]; message: string } | undefined): string {
  const field = issue?.path.join('.') || 'the request'
  const message = issue?.message.replace(/^Invalid input: /, '') ?? 'wrong shape'
  return `${field}: ${message.charAt(0).toLowerCase()}${message.slice(1)}`
}

/** Status and sentence of an error of a method, or of ours. */
function explain(error: Error): [number, string] {
  if (error instanceof Refused) return [400, error.message]
  if (error instanceof Unread) return [error.status, error.message]
  return [500, error.message || error.name]
}

/** Hangs up, too, when the body is still on its way: nobody will read it. */
function late(request: IncomingMessage, response: ServerResponse, deadline: number): void {
  if (!request.complete) response.shouldKeepAlive = false
  const waited = `${deadline / 1000} s`
  if (request.complete) fail(response, 504, `not done after ${waited}; it may still be done later`)
  else fail(response, 408, `the request's body didn't arrive within ${waited}; nothing was done`)
}

function fail(response: ServerResponse, status: number, sentence: string): void {
  send(response, status, { Err: sentence, Error: sentence })
}

/** Only the first answer to a request is sent. */
function send(response: ServerResponse, status: number, body: object): void {
  if (response.headersSent) return
  const text = JSON.stringify(body)
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
  })
  response.end(text)
}

async function close(server: Server, open: Set<ServerResponse>): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  while (open.size > 0) await Promise.all([...open].map(ended))
  server.closeAllConnections()
  await closed
}

const ended = (response: ServerResponse) => new Promise(done => response.once('close', done))
