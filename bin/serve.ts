import { once } from 'node:events'
import type { Server } from 'node:http'
import express, { type ErrorRequestHandler, type Express, type Request, type Response } from 'express'
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
  const open = new Set<Response>()
  const app = trimmed(express())
  app.use((_request, response, next) => {
    open.add(response)
    response.once('close', () => open.delete(response))
    next()
  })
  answering(app, new Map(Object.entries(methods)), deadline, log)
  const server = createServer(CONNECTIONS, app)
  await listen(server, path, mode)
  return { close: () => close(server, open) }
}

/**
 * dockerd keeps idle connections for good and dials some that it uses later, so neither may time out: its next request
 * would race with our hanging up. Up to 20.10 it sends an empty Host.
 */
const CONNECTIONS = { keepAliveTimeout: 0, headersTimeout: 0, requestTimeout: 0, requireHostHeader: false }

/** Settings that cost time on each request and mean nothing here. */
function trimmed(app: Express): Express {
  return app.disable('x-powered-by').disable('etag').set('query parser', false)
}

/** Bytes of a request. The largest that Docker has reason to send publishes every port of a container: 7 MB. */
const LIMIT = 8 * 2 ** 20

function answering(app: Express, methods: Map<string, Method>, deadline: number, log: Logger): void {
  const named = (request: Request) => methods.get(request.path.slice(1))

  app.use((request, response, next) => {
    if (request.method !== 'POST')
      return fail(response, 405, `${request.method} is not spoken here, only POST`)
    if (!named(request)) {
      log.info({ path: request.path }, 'unknown method')
      return fail(response, 404, `${request.path} is not a method of this daemon`)
    }
    const timer = setTimeout(late, deadline, request, response, deadline)
    response.once('close', () => clearTimeout(timer))
    next()
  })

  app.use(express.raw({ type: () => true, limit: LIMIT, inflate: false }))

  app.use(async (request, response) => {
    // The last of the body may come in while the caller is told that it came too late.
    if (response.headersSent) return
    const answer = await call(named(request) as Method, request.body)
    if (response.headersSent)
      log.warn({ path: request.path }, 'done after the caller was told of the deadline')
    else send(response, 200, answer ?? {})
  })

  const failed: ErrorRequestHandler = (error, request, response, _next) => {
    if (error instanceof Worded) {
      log.info({ path: request.path, ...error.body }, 'refused')
      return send(response, error.status, error.body)
    }
    const [status, sentence] = explain(error)
    if (status >= 500) log.error({ path: request.path, err: error }, sentence)
    else log.info({ path: request.path, status }, sentence)
    fail(response, status, sentence)
  }
  app.use(failed)
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

/** Status and sentence of an error of a method, of the body's reader, or of ours. */
function explain(error: Error & { type?: string; status?: number }): [number, string] {
  if (error instanceof Refused) return [400, error.message]
  if (error.type === 'entity.too.large') return [413, `the request is larger than ${LIMIT} bytes`]
  if (error.type && error.status) return [error.status, `the request can't be read: ${error.message}`]
  return [500, error.message || error.name]
}

/** Hangs up, too, when the body is still on its way: nobody will read it. */
function late(request: Request, response: Response, deadline: number): void {
  if (!request.complete) response.shouldKeepAlive = false
  const waited = `${deadline / 1000} s`
  if (request.complete) fail(response, 504, `not done after ${waited}; it may still be done later`)
  else fail(response, 408, `the request's body didn't arrive within ${waited}; nothing was done`)
}

function fail(response: Response, status: number, sentence: string): void {
  send(response, status, { Err: sentence, Error: sentence })
}

/** Only the first answer to a request is sent. Plain `end` spares what express's `json` does for browsers. */
function send(response: Response, status: number, body: object): void {
  if (response.headersSent) return
  const text = JSON.stringify(body)
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
  })
  response.end(text)
}

async function close(server: Server, open: Set<Response>): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  while (open.size > 0) await Promise.all([...open].map(ended))
  server.closeAllConnections()
  await closed
}

const ended = (response: Response) => new Promise(done => response.once('close', done))
