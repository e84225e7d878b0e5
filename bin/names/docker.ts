import { once } from 'node:events'
import { createInterface } from 'node:readline'
import Docker from 'dockerode'

/** What Docker calls one endpoint. */
export type Called = { endpoint: string; network: string; names: string[] }

/** What names need of Docker's API. Never while dockerd waits for an answer of ours: it may hold a lock. */
export interface Engine {
  /** Of all containers that run. */
  all(): Promise<Called[]>
  /** Of one container. */
  of(container: string): Promise<Called[]>
  /** Tells containers whose networks or names changed, until the connection ends. `ready` is called once nothing is missed any more. */
  watch(ready: () => void, tell: (container: string) => void): Promise<void>
}

/** @throws what dockerode throws. */
export function engine(socketPath: string): Engine {
  const api = new Docker({ socketPath, timeout: 20_000 })
  const endless = new Docker({ socketPath })
  const of = async (id: string): Promise<Called[]> => {
    try {
      const { Name, NetworkSettings } = await api.getContainer(id).inspect()
      return Object.entries(NetworkSettings.Networks ?? {}).flatMap(([network, found]) =>
        called(Name, network, found),
      )
    } catch (error) {
      if ((error as { statusCode?: number }).statusCode === 404) return []
      throw error
    }
  }
  return {
    of,
    async all() {
      const running = await api.listContainers()
      return (await Promise.all(running.map(({ Id }) => of(Id)))).flat()
    },
    async watch(ready, tell) {
      const stream = await endless.getEvents({ filters: { event: ['connect', 'rename'] } })
      ready()
      const lines = createInterface({ input: stream })
      lines.on('line', line => {
        const container = containerOf(line)
        if (container) tell(container)
      })
      await once(lines, 'close')
    },
  }
}

/** The event is about a network, with the container among its attributes, or about a container. */
function containerOf(line: string): string | undefined {
  try {
    const { Type, Actor } = JSON.parse(line)
    return Type === 'network' ? Actor.Attributes.container : Actor.ID
  } catch {
    return undefined
  }
}

type Found = { EndpointID: string; Aliases?: string[] | null; DNSNames?: string[] | null }

/** Up to 24.0 there are aliases alone, the short id among them. */
function called(name: string, network: string, { EndpointID, Aliases, DNSNames }: Found): Called[] {
  if (EndpointID === '') return []
  const own = name.replace(/^\//, '')
  const names = [...new Set([own, ...(DNSNames ?? Aliases ?? [])])]
  return [{ endpoint: EndpointID, network, names: names.flatMap(each => [each, `${each}.${network}`]) }]
}
