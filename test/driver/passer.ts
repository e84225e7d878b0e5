import { spawnSync } from 'node:child_process'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'

/**
 * What systemd does for a unit with several sockets: `passer.ts PATH…` listens on all paths and starts a daemon for the last
 * one, which finds them from descriptor 3 on. It waits without running its event loop, so it never accepts a connection.
 */
const paths = process.argv.slice(2)
const passed = paths.map(path => createServer().listen(path) as Server & { _handle: { fd: number } })
const daemon = [process.execPath, join(import.meta.dirname, 'activated.ts'), paths.at(-1) ?? '']
const { status } = spawnSync('sh', ['-c', 'LISTEN_PID=$$ exec "$@"', 'sh', ...daemon], {
  env: { ...process.env, LISTEN_FDS: String(paths.length) },
  stdio: ['inherit', 'inherit', 'inherit', ...passed.map(server => server._handle.fd)],
})
process.exit(status ?? 1)
