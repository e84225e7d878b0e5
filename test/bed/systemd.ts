import { spawn } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import net from 'node:net'
import { dirname } from 'node:path'

/**
 * Stands in for systemd inside an emulated host: `systemd.ts SOCKET PROGRAM` binds the socket, passes it on as
 * sd_listen_fds(3) tells, and starts the program again whenever it ends.
 */
const [socket = '', program = ''] = process.argv.slice(2)
process.title = 'systemd'

mkdirSync(dirname(socket), { recursive: true })
rmSync(socket, { force: true })
// A server of Node's own would take the connections itself; this is a socket that is bound and no more.
const { fd } = (net as unknown as { _createServerHandle: Create })._createServerHandle(socket, -1, -1)
type Create = (path: string, port: -1, addressType: -1) => { fd: number }

let child = start()
for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.once(signal, () => {
    child.removeAllListeners('exit').once('exit', () => process.exit(0))
    child.kill(signal)
  })

function start() {
  const announced = ['-c', 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$0"', program]
  const started = spawn('sh', announced, { stdio: ['ignore', 'inherit', 'inherit', fd] })
  started.once('exit', () => {
    child = start()
  })
  return started
}
