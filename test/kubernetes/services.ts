import { until } from '../bed/until.ts'
import type { Cluster } from './cluster.ts'
import { inPod, pod, service } from './pods.ts'

const dual = { ipFamilyPolicy: 'RequireDualStack' }
export const ports = { any: 30080, local: 30081, host: 31080 }

/** Services of both families, and pods for them that aren't `web`. */
export const objects = [
  service('web', dual, { name: 'http', port: 8000, targetPort: 80 }, { name: 'echo', port: 7 }),
  service('bare', { ...dual, clusterIP: 'None', selector: { app: 'web' } }, { port: 80 }),
  service('nobody', dual, { port: 80 }),
  service('moving', dual, { port: 53, targetPort: 9, protocol: 'UDP' }),
  service('names', dual, { port: 53, targetPort: 9, protocol: 'UDP' }),
  pod({ name: 'names', node: 'c', labels: { app: 'names' } }),
  service('only-b', { ...dual, type: 'NodePort' }, { port: 80, nodePort: ports.any }),
  pod({ name: 'only-b', node: 'b', labels: { app: 'only-b' } }),
  service(
    'local-c',
    { ...dual, type: 'NodePort', externalTrafficPolicy: 'Local' },
    { port: 80, nodePort: ports.local },
  ),
  pod({ name: 'local-c', node: 'c', labels: { app: 'local-c' } }),
  pod({
    name: 'host-port',
    node: 'a',
    container: {
      ports: [
        { containerPort: 80, hostPort: ports.host, protocol: 'TCP' },
        { containerPort: 9, hostPort: ports.host, protocol: 'UDP' },
      ],
    },
  }),
]

type Service = { spec: { clusterIPs: string[] } }
type Slices = { items: { endpoints: { addresses: string[]; conditions: { ready: boolean } }[] }[] }

/** The addresses of a service, IPv4 first. */
export const clusterAddresses = async (cluster: Cluster, name: string): Promise<string[]> =>
  (await cluster.get<Service>('service', name)).spec.clusterIPs

/** Endpoints of a service in all families, sorted, once there are so many. */
export const endpoints = (cluster: Cluster, name: string, count: number): Promise<string[]> =>
  until(
    `${name} to have ${count} endpoints`,
    async () => {
      const slices = ['endpointslices', '-l', `kubernetes.io/service-name=${name}`]
      const { items } = await cluster.get<Slices>(...slices)
      const ready = items.flatMap(each => each.endpoints ?? []).filter(each => each.conditions.ready)
      const found = ready.flatMap(({ addresses }) => addresses)
      return found.length === count ? found.sort() : undefined
    },
    { deadline: 60_000, every: 200 },
  )

/** What a name means in a pod, asked of the pod's own name server; sorted. */
export async function lookUp(
  cluster: Cluster,
  from: string,
  name: string,
  type: 'a' | 'aaaa',
): Promise<string[]> {
  const text = await inPod(cluster, from, 'nslookup', `-type=${type}`, name)
  const [, ...answers] = text.split(/^Name:/m)
  return answers.flatMap(each => /^Address: (\S+)$/m.exec(each)?.[1] ?? []).sort()
}
