// Asks addresses, one a line of standard input, until each answers; prints milliseconds. To be started in a container's namespace.
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'

/** Where nobody listens: whoever is there says so at once (ICMP port unreachable). */
const CLOSED = 9

async function reached(address: string): Promise<number> {
  const begin = performance.now()
  const socket = createSocket('udp4')
  let isThere = false
  socket.on('error', () => {
    isThere = true
  })
  socket.connect(CLOSED, address)
  await once(socket, 'connect')
  while (!isThere) {
    socket.send('?', () => undefined)
    await pause(0.2)
  }
  socket.close()
  return performance.now() - begin
}

for await (const address of createInterface({ input: process.stdin })) console.log(await reached(address))
