import { isIP } from 'node:net'
import type { Result, RunOptions } from '../bed/run.ts'

/** Where a command runs: a container, the host, or the machine outside. */
export type Place = {
  attempt(argv: string[], options?: RunOptions): Promise<Result>
  enter(...argv: string[]): string[]
}

/** An address as it stands before a port. */
export const literal = (address: string) => (address.includes(':') ? `[${address}]` : address)

/** socat's word for a TCP port; a name may mean an address of either family. */
export const tcp = (address: string, port: number) => `TCP${isIP(address) || ''}:${literal(address)}:${port}`

/**
 * Who answers by HTTP at an address, and which client address it saw: `web 10.250.0.254`. Undefined when nobody does
 * within `seconds`.
 */
export async function who(from: Place, address: string, port = 80, seconds = 5): Promise<string | undefined> {
  // Not by the machine's own busybox: linked statically, it dies of its own name service under User Mode Linux.
  const argv = ['timeout', `${seconds}`, 'socat', `-t${seconds}`, '-', tcp(address, port)]
  const { stdout } = await from.attempt(argv, { input: 'GET /cgi-bin/who HTTP/1.0\r\n\r\n' })
  const [, said] = /^HTTP\/1\.\d 200 .*?\r\n\r\n(.+)$/s.exec(stdout) ?? []
  return said?.trim().replaceAll(/\[(?:::ffff:)?([^\]]+)\]/g, '$1')
}

/** The same by UDP. It asks twice a second, for a datagram may be lost, and ends with the first line that it hears. */
export async function whoByDatagram(
  from: Place,
  address: string,
  port = 9,
  seconds = 5,
): Promise<string | undefined> {
  const target = `UDP${address.includes(':') ? 6 : 4}:${literal(address)}:${port},shut-none`
  const dialogue =
    'SYSTEM:while echo hello; do sleep 0.5 >/dev/null; done & read line; echo "$line" >&2; kill $!'
  const { stderr } = await from.attempt(['timeout', `${seconds}`, 'socat', '-t0.01', target, dialogue])
  const said = /^(\S+) (\S+) hello$/m.exec(stderr)
  return said?.[1] && `${said[1]} ${plainAddress(said[2] ?? '')}`
}

/** socat's long form of an address, in brackets, as people write it. */
export function plainAddress(text: string): string {
  const long = text.replace(/^\[(.*)\]$/, '$1')
  if (!long.includes(':')) return long
  const plain = new URL(`http://[${long}]`).hostname.slice(1, -1)
  const mapped = /^::ffff:([\da-f]+):([\da-f]+)$/.exec(plain)
  if (!mapped) return plain
  const [high = 0, low = 0] = mapped.slice(1).map(part => Number.parseInt(part, 16))
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}

/** Whether the echo server answers by TCP. */
export async function echoes(from: Place, address: string, port = 7, seconds = 5): Promise<boolean> {
  const argv = ['timeout', `${seconds}`, 'socat', `-t${seconds}`, '-', tcp(address, port)]
  const { stdout } = await from.attempt(argv, { input: 'hello\n' })
  return stdout === 'hello\n'
}

/** Whether nobody answers at a TCP port for a second. */
export async function closed(from: Place, address: string, port = 80): Promise<boolean> {
  return (await who(from, address, port, 1)) === undefined
}

/** Whether one of the echo requests of two seconds is answered. */
export async function pings(from: Place, target: string): Promise<boolean> {
  const { code } = await from.attempt(['ping', '-c', '1', '-i', '0.2', '-w', '2', target])
  return code === 0
}
