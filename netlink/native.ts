import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { NetlinkError } from './error.ts'

/** The addon of socket.c. Every function answers a number; a negative one is an errno. */
export type Native = {
  open(protocol: number, namespace: string, receive: number, send: number, seconds: number): number
  enter(namespace: string): number
  join(fd: number, group: number): number
  grow(fd: number, bytes: number): number
  receive(fd: number, buffer: Buffer, wait: number): number
  exchange(fd: number, request: Buffer, length: number, buffer: Buffer): number
  bindPort(protocol: number, namespace: string, address: Buffer, port: number, v6only: number): number
  portOf(fd: number): number
  bpf(command: number, memory: Buffer, attr: number, places: Buffer): number
  frames(namespace: string, index: number, protocol: number, filter: Buffer): number
  send(fd: number, frame: Buffer): number
  watch(fd: number, ring: () => void): () => void
}

/** In the source tree the addon lies in dist/; a bundle has it beside itself. */
const places = ['./dist/netlink.node', './netlink.node'].map(place =>
  fileURLToPath(new URL(place, import.meta.url)),
)

function load(): Native {
  const place = places.find(existsSync)
  if (place) return createRequire(import.meta.url)(place)
  throw new Error(
    `netlink.node is not built: run 'npm run build -w @tsnet/netlink' (looked at ${places.join(', ')})`,
  )
}

export const native = load()

/** The number itself, or the errno it stands for as a NetlinkError. */
export function checked(result: number, step: string): number {
  if (result < 0) throw NetlinkError.of(-result, step)
  return result
}

/**
 * Moves the calling thread to a network namespace for good: its sockets, /proc/sys/net and the programs it starts are
 * that namespace's from then on. Meant for a worker thread that lives there. Throws NetlinkError.
 */
export function enterNamespace(path: string): void {
  checked(native.enter(path), `enter ${path}`)
}
