import { enterNamespace, NetlinkError } from '@tsnet/netlink'
import type { VirtualService } from '../core/faces.ts'
import { TABLE } from './names.ts'
import { nft } from './nft.ts'

/** Ours in a container's namespace; its own programs and Docker's name server have tables of other names, or iptables' chains. */
const table = `ip ${TABLE}`

/**
 * Connections that start in a container to a virtual address go to its backends in turn: destination NAT where they start, so that the
 * backend sees who asks, and answers past every host. One transaction; connections that are open stay where they are.
 *
 * `home` is where this thread lives. False when there is no such namespace. Throws what nft says.
 */
export function balance(namespace: string, home: string, services: readonly VirtualService[]): boolean {
  const done = inside(namespace, home, () => ({ failure: nft(script(services))?.failure }))
  if (done?.failure) throw new NetlinkError(done.failure.code, 0, done.failure.words)
  return done !== undefined
}

/** Replaces the table whole; without services there is none. */
export function script(services: readonly VirtualService[]): string[] {
  const rules = services.filter(({ backends }) => backends.length > 0).map(rule)
  const clear = [`add table ${table}`, `delete table ${table}`]
  if (rules.length === 0) return clear
  return [
    ...clear,
    `add table ${table}`,
    `add chain ${table} balance { type nat hook output priority -101; }`,
    ...rules,
  ]
}

function rule({ address, backends }: VirtualService): string {
  const slots = backends.map((backend, i) => `${i} : ${backend}`)
  const choice = `numgen inc mod ${backends.length} map { ${slots.join(', ')} }`
  return `add rule ${table} balance ip daddr ${address} dnat to ${choice}`
}

/** Programs start in the namespace of the thread that starts them. A thread that can't come home must not go on. */
function inside<T>(namespace: string, home: string, work: () => T): T | undefined {
  try {
    enterNamespace(namespace)
  } catch (error) {
    if (error instanceof NetlinkError && ['ENOENT', 'EINVAL'].includes(error.code)) return undefined
    throw error
  }
  try {
    return work()
  } finally {
    comeHome(home)
  }
}

function comeHome(home: string): void {
  try {
    enterNamespace(home)
  } catch (error) {
    process.kill(process.pid, 'SIGABRT')
    throw error
  }
}
