import { isIPv4 } from 'node:net'
import { Refused, type StepError } from './errors.ts'
import type { Kernel, Listener } from './faces.ts'
import type { PortRequest, Publication } from './records.ts'
import type { PortRow } from './rows.ts'

/** A port as it was asked for, and the host addresses that its network publishes it at. */
export type Wish = { request: PortRequest; listeners: Listener[] }

/**
 * Grants host ports by taking hold of them: a port is ours once a socket is bound to it on every address, so that neither
 * another container nor a program of the host can have it as well. Where whoever asks does so himself, no other container may have it.
 */
export class HostPorts {
  readonly #kernel: Kernel
  readonly #published: () => Publication[]
  #next = 0

  /** `published` are those that were granted and written down. */
  constructor(kernel: Kernel, published: () => Publication[]) {
    this.#kernel = kernel
    this.#published = published
  }

  /** All of the wishes or none; throws Refused naming the port that is taken. */
  async grant(wishes: readonly Wish[], ephemeral: [number, number]): Promise<Publication[]> {
    const granted: Publication[] = []
    try {
      for (const wish of wishes) granted.push(...(await this.#one(wish, ephemeral)))
      return granted
    } catch (error) {
      await this.release(granted)
      throw error
    }
  }

  async release(granted: readonly Publication[]): Promise<void> {
    const held = granted.filter(port => port.hostPort > 0 && !port.held).map(row)
    await this.#kernel.apply(held.map(port => ({ verb: 'delete', row: port, was: port, reason: 'released' })))
  }

  async #one({ request, listeners }: Wish, ephemeral: [number, number]): Promise<Publication[]> {
    const mapped = listeners.filter(each => each.mapped)
    const open = listeners.filter(each => !each.mapped).map(each => publication(request, each, 0))
    if (mapped.length === 0) return open
    const others = this.#published().filter(each => request.held || each.held)
    for (const hostPort of this.#candidates(request, ephemeral)) {
      const ports = mapped.map(each => publication(request, each, hostPort))
      if (ports.some(port => others.some(other => clash(port, other)))) continue
      if (request.held || (await this.#hold(ports))) return [...open, ...ports]
    }
    throw new Refused(taken(request, mapped))
  }

  /** Holds the port on every address or on none. */
  async #hold(ports: readonly Publication[]): Promise<boolean> {
    const steps = ports.map(port => ({ verb: 'add', row: row(port), reason: 'granted' }) as const)
    const outcomes = await this.#kernel.apply(steps)
    const failures = outcomes.flatMap(outcome => (outcome.ok ? [] : [outcome.error]))
    if (failures.length === 0) return true
    await this.release(ports.filter((_, i) => outcomes[i]?.ok))
    const other = failures.find(error => error.code !== 'EADDRINUSE')
    if (other) throw refusal(other)
    return false
  }

  /** The port asked for, the range asked for, or every ephemeral port once, going on where the last one was found. */
  *#candidates(request: PortRequest, [first, last]: [number, number]): Generator<number> {
    if (request.hostPort > 0) {
      const end = Math.max(request.hostPort, request.hostPortEnd)
      for (let port = request.hostPort; port <= end; port++) yield port
      return
    }
    const count = last - first + 1
    for (let i = 0; i < count; i++) yield first + (this.#next++ % count)
  }
}

const row = ({ proto, hostIp, hostPort }: Publication): PortRow => ({
  kind: 'port',
  proto,
  address: hostIp,
  port: hostPort,
})

function publication(
  { proto, port, held }: PortRequest,
  { hostIp, address }: Listener,
  hostPort: number,
): Publication {
  return { proto, hostIp, hostPort, address, port, ...(held && { held }) }
}

const everywhere = ['0.0.0.0', '::']

function clash(one: Publication, other: Publication): boolean {
  if (one.proto !== other.proto || one.hostPort !== other.hostPort) return false
  if (isIPv4(one.hostIp) !== isIPv4(other.hostIp)) return false
  return one.hostIp === other.hostIp || [one, other].some(({ hostIp }) => everywhere.includes(hostIp))
}

function taken({ proto, hostPort, hostPortEnd }: PortRequest, listeners: readonly Listener[]): string {
  const at = listeners.map(each => each.hostIp).join(' and ')
  if (hostPort === 0) return `no ephemeral ${proto} port is free at ${at}`
  const range =
    hostPortEnd > hostPort ? `no ${proto} port from ${hostPort} to ${hostPortEnd} is free` : undefined
  return range ? `${range} at ${at}` : `port ${hostPort}/${proto} at ${at} is already taken`
}

/** An address that isn't the host's is the caller's mistake, everything else is ours. */
function refusal(error: StepError): Error {
  return error.code === 'EADDRNOTAVAIL' ? new Refused(`${error.step}: this host has no such address`) : error
}
