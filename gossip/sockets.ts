import { createSocket, type Socket as Datagrams } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Endpoint } from './endpoint.ts'
import { largestStream } from './stream.ts'

/** Asked of the kernel for datagrams that wait to be read; it gives what it may. */
const receiveBuffer = 2 << 20
/** Streams that peers may have open at a time. */
const mostStreams = 128

export type Sockets = { datagrams: Datagrams; server: Server; endpoint: Endpoint }

/** UDP and TCP of one address and port; port 0 takes one that is free for both. Throws the bind's own error. */
export async function bind({ address, port }: Endpoint): Promise<Sockets> {
  const server = createServer({ noDelay: true })
  server.maxConnections = mostStreams
  server.listen({ host: address, port, exclusive: true })
  await once(server, 'listening')
  const bound = (server.address() as { port: number }).port
  const datagrams = createSocket({
    type: address.includes(':') ? 'udp6' : 'udp4',
    recvBufferSize: receiveBuffer,
  })
  try {
    datagrams.bind({ address, port: bound, exclusive: true })
    await once(datagrams, 'listening')
  } catch (error) {
    server.close()
    throw error
  }
  return { datagrams, server, endpoint: { address, port: bound } }
}

/** Reads until `parse` is content; rejects when the stream ends before, at the deadline, or with what `parse` throws. */
export async function receive<T>(socket: Socket, parse: (received: Buffer) => T | 'more'): Promise<T> {
  let received: Buffer = Buffer.alloc(0)
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    received = Buffer.concat([received, chunk])
    if (received.length > 2 * largestStream) break
    const parsed = parse(received)
    if (parsed !== 'more') return parsed
  }
  throw new Error('the stream ended before its message')
}

/** Destroys the stream with an error if it lives longer than `wait` milliseconds in all. */
export function limit(socket: Socket, wait: number): Socket {
  const timer = setTimeout(() => socket.destroy(new Error('no answer in time')), wait)
  return socket.once('close', () => clearTimeout(timer))
}

/** A stream from the address that the others know us by. */
export function dial(to: Endpoint, from: string, wait: number): Socket {
  return limit(connect({ host: to.address, port: to.port, localAddress: from, noDelay: true }), wait)
}
