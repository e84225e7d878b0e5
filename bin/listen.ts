import { once } from 'node:events'
import { readFileSync, readlinkSync } from 'node:fs'
import { lstat, mkdir, unlink } from 'node:fs/promises'
import { connect, type Server } from 'node:net'
import { dirname } from 'node:path'
import { Refused } from '../core/errors.ts'

/**
 * Listens on a Unix socket: on the one that systemd passed for this path (socket activation), else on a new one whose file
 * has the given mode from the first moment. What a dead daemon left there is replaced. Refused when a daemon listens there
 * or when something else than a socket is there.
 */
export async function listen(server: Server, path: string, mode: number): Promise<void> {
  const fd = inherited(path)
  if (fd === undefined) await clear(path)
  const listening = once(server, 'listening')
  if (fd === undefined) masked(mode, () => server.listen(path))
  else server.listen({ fd })
  await listening
}

/** Node binds a path while `listen` runs, so nothing else of the process sees this mask. */
function masked(mode: number, bind: () => void): void {
  const before = process.umask(0o777 & ~mode)
  try {
    bind()
  } finally {
    process.umask(before)
  }
}

async function clear(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  const there = await lstat(path).catch(unless('ENOENT'))
  if (!there) return
  if (!there.isSocket())
    throw new Refused(`${path} is there and is not a socket: move it or name another path`)
  if (await alive(path)) throw new Refused(`another daemon listens on ${path}: stop it first`)
  await unlink(path).catch(unless('ENOENT'))
}

/** Nobody listens where a connection is refused; a full backlog (EAGAIN) is a sign of life. */
async function alive(path: string): Promise<boolean> {
  const probe = connect(path)
  const refused = await once(probe, 'connect').then(() => false, isOneOf('ECONNREFUSED', 'ENOENT'))
  probe.destroy()
  return !refused
}

const isOneOf =
  (...codes: string[]) =>
  (error: NodeJS.ErrnoException) =>
    codes.includes(error.code ?? '')

/** Swallows one errno. */
function unless(code: string) {
  return (error: NodeJS.ErrnoException): undefined => {
    if (error.code !== code) throw error
  }
}

/** First descriptor that systemd passes (SD_LISTEN_FDS_START). */
const FIRST = 3

/**
 * The passed descriptor whose socket is bound to the path. sd_listen_fds(3): LISTEN_PID guards against a parent's variables.
 * Paths are compared by `/proc/net/unix`, as a unit may pass the driver's and the operator's socket in any order.
 */
function inherited(path: string): number | undefined {
  const { LISTEN_PID, LISTEN_FDS } = process.env
  if (LISTEN_PID !== String(process.pid)) return undefined
  const inodes = boundTo(path)
  const fds = Array.from({ length: Number(LISTEN_FDS) }, (_, index) => FIRST + index)
  return fds.find(fd => inodes.has(readlinkSync(`/proc/self/fd/${fd}`)))
}

/** Sockets bound to a path, written as in `/proc/PID/fd`. Columns: Num RefCount Protocol Flags Type St Inode Path. */
function boundTo(path: string): Set<string> {
  const lines = readFileSync('/proc/net/unix', 'utf8').split('\n')
  const bound = lines.filter(line => line.endsWith(` ${path}`))
  return new Set(bound.map(line => `socket:[${line.trim().split(/\s+/)[6]}]`))
}
