import { isIPv4 } from 'node:net'
import Docker from 'dockerode'
import pMap from 'p-map'
import type { VirtualService } from '../../core/faces.ts'
import { type Lookup, lookUp } from './lookup.ts'

/** As Docker tells it of a network (libnetwork's ServiceInfo), and libnetwork of every node alike: its nodes gossip it among each other. */
type Told = { VIP?: string; Tasks?: { EndpointIP?: string }[] }

/** What dockerode's types don't know of. */
type Verbose = {
  inspect(of: { verbose: true }): Promise<{ Name: string; Services?: Record<string, Told> | null }>
}

/** Answers a Swarm network's services with the addresses of their tasks; none of a network that isn't there. */
export type ServicesOf = (network: string, sandboxes: readonly string[]) => Promise<VirtualService[]>

/** Asks Docker's API at this path, and its name server in containers of the network. Throws what dockerode throws. */
export function servicesOf(socketPath: string, lookup: Lookup = lookUp): ServicesOf {
  const docker = new Docker({ socketPath, timeout: 20_000 })
  return async (network, sandboxes) => {
    try {
      const asked = docker.getNetwork(network) as unknown as Verbose
      const { Name, Services } = await asked.inspect({ verbose: true })
      return await wanted(read(Services ?? {}), name => lookup(sandboxes, `tasks.${name}.${Name}`))
    } catch (error) {
      if ((error as { statusCode?: number }).statusCode === 404) return []
      throw error
    }
  }
}

type Service = VirtualService & { name: string }

/** In an order of their own: Docker's differs each time. Services in mode dnsrr, and plain containers, have no virtual address: "" or "<nil>". */
export function read(told: Record<string, Told>): Service[] {
  const services = Object.entries(told).filter(([, { VIP = '' }]) => isIPv4(VIP))
  return services
    .map(([name, { VIP = '', Tasks }]) => ({ name, address: VIP, backends: addresses(Tasks ?? []).sort() }))
    .sort((a, b) => (a.address < b.address ? -1 : 1))
}

/** Questions that are open at a time: some 270 fill a socket's buffer (net.core.rmem_default), and what comes then is lost. */
const OPEN = 32

/** Answers with addresses; undefined when nobody is there to be asked. */
export type Ask = (service: string) => Promise<readonly string[] | undefined>

/**
 * Services with those of their tasks that are to get new connections. Docker lists a task until its container is gone, but takes it out of
 * `tasks.NAME` on all nodes two seconds before it stops it (Shutdown in daemon/cluster/executor/container/controller.go). Where
 * nobody would be left, or nobody can be asked, all stay: they may still answer. Once nobody answers, no more is asked.
 */
export function wanted(services: readonly Service[], ask: Ask): Promise<VirtualService[]> {
  let isSilent = false
  const askUntilSilent: Ask = async name => {
    const found = isSilent ? undefined : await ask(name)
    isSilent ||= found === undefined
    return found
  }
  return pMap(services, service => left(service, askUntilSilent), { concurrency: OPEN })
}

async function left({ name, address, backends }: Service, ask: Ask): Promise<VirtualService> {
  const named = (backends.length > 1 && (await ask(name))) || []
  const some = backends.filter(each => named.includes(each))
  return { address, backends: some.length > 0 ? some : backends }
}

const addresses = (tasks: readonly { EndpointIP?: string }[]) =>
  tasks.flatMap(({ EndpointIP = '' }) => (isIPv4(EndpointIP) ? EndpointIP : []))
