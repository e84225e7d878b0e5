import { isIPv4 } from 'node:net'
import Docker from 'dockerode'
import type { VirtualService } from '../../core/faces.ts'

/** As Docker tells it of a network (libnetwork's ServiceInfo), and libnetwork of every node alike: its nodes gossip it among each other. */
type Told = { VIP?: string; Tasks?: { EndpointIP?: string }[] }

/** What dockerode's types don't know of. */
type Verbose = { inspect(of: { verbose: true }): Promise<{ Services?: Record<string, Told> | null }> }

/** Answers a Swarm network's services with the addresses of their tasks; none of a network that isn't there. */
export type ServicesOf = (network: string) => Promise<VirtualService[]>

/** Asks Docker's API at this path. Throws what dockerode throws. */
export function servicesOf(socketPath: string): ServicesOf {
  const docker = new Docker({ socketPath, timeout: 20_000 })
  return async network => {
    try {
      const asked = docker.getNetwork(network) as unknown as Verbose
      const { Services } = await asked.inspect({ verbose: true })
      return read(Services ?? {})
    } catch (error) {
      if ((error as { statusCode?: number }).statusCode === 404) return []
      throw error
    }
  }
}

/** In an order of their own: Docker's differs each time. Services in mode dnsrr, and plain containers, have no virtual address: "" or "<nil>". */
export function read(told: Record<string, Told>): VirtualService[] {
  const services = Object.values(told).filter(({ VIP = '' }) => isIPv4(VIP))
  return services
    .map(({ VIP = '', Tasks }) => ({ address: VIP, backends: addresses(Tasks ?? []).sort() }))
    .sort((a, b) => (a.address < b.address ? -1 : 1))
}

const addresses = (tasks: readonly { EndpointIP?: string }[]) =>
  tasks.flatMap(({ EndpointIP = '' }) => (isIPv4(EndpointIP) ? EndpointIP : []))
