import { patience } from '../bed/patience.ts'
import { until } from '../bed/until.ts'
import { literal, plainAddress } from '../docker/probes.ts'
import { box, type Cluster, type NodeName } from './cluster.ts'

type Container = {
  image: string
  ports?: object[]
  readinessProbe?: object
  livenessProbe?: object
  command?: string[]
}
export type PodSpec = {
  name: string
  node?: NodeName
  labels?: Record<string, string>
  annotations?: Record<string, string>
  hostNetwork?: boolean
  container?: Partial<Container>
}

/** A pod that answers on 80 by HTTP, with who asks. */
export const pod = ({ name, node, labels, annotations, hostNetwork = false, container }: PodSpec) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, labels: { name, ...labels }, ...(annotations && { annotations }) },
  spec: {
    ...(node && { nodeName: node }),
    hostNetwork,
    terminationGracePeriodSeconds: 1,
    tolerations: [{ operator: 'Exists' }],
    containers: [{ name: 'box', image: box, imagePullPolicy: 'Never', ...container }],
  },
})

/** A service of all pods that have its name as their label `app`. */
export const service = (name: string, more: object, ...ports: object[]) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name },
  spec: { selector: { app: name }, ports, ...more },
})

type Status = {
  metadata: { name: string; deletionTimestamp?: string }
  spec: { nodeName?: string }
  status: {
    podIP?: string
    podIPs?: { ip: string }[]
    phase?: string
    conditions?: { type: string; status: string }[]
    containerStatuses?: { restartCount: number }[]
  }
}

export const statusOf = (cluster: Cluster, name: string): Promise<Status> => cluster.get('pod', name)

/** Makes pods and returns their addresses once all are ready. */
export async function started(cluster: Cluster, ...specs: PodSpec[]): Promise<string[]> {
  await cluster.apply(...specs.map(pod))
  return Promise.all(specs.map(({ name }) => ready(cluster, name)))
}

/** Returns a pod's address once it is ready. */
export async function ready(cluster: Cluster, name: string): Promise<string> {
  const isReady = ({ status }: Status) =>
    status.conditions?.some(each => each.type === 'Ready' && each.status === 'True') && status.podIP
  return until(
    `pod ${name} to be ready`,
    async () => {
      const found = await statusOf(cluster, name)
      const address = isReady(found)
      if (!address) throw new Error(JSON.stringify(found.status))
      return address
    },
    { deadline: 60_000, every: 200 },
  )
}

/** All addresses of a pod that is ready. */
export const addressesOf = async (cluster: Cluster, name: string): Promise<string[]> =>
  ((await statusOf(cluster, name)).status.podIPs ?? []).map(({ ip }) => ip)

export const inPod = (cluster: Cluster, name: string, ...argv: string[]): Promise<string> =>
  cluster.kubectl('exec', name, '--', ...argv)

export type Answer = { pod: string; seen: string }

/** Seconds that somebody has for an answer. */
const PAUSE = 3 * patience

/** What a pod that serves says to whoever asks: its name, and the address that it sees. */
export function answerOf(text: string): Answer {
  const [pod = '', seen = ''] = text.trim().split(' ')
  return { pod, seen: plainAddress(seen) }
}

const request = String.raw`printf "GET /cgi-bin/who HTTP/1.0\r\n\r\n"`

/** Asks from inside a pod. Who can't connect rejects; no answer at all is one that kubectl lost, or nobody gave. */
export async function askFrom(cluster: Cluster, name: string, address: string, port = 80): Promise<Answer> {
  const script = `set -o pipefail; ${request} | socat -t ${PAUSE} - TCP:${literal(address)}:${port},connect-timeout=${PAUSE} | tail -n 1`
  return answerOf(await inPod(cluster, name, 'sh', '-c', script))
}

/** The same by a datagram. */
export async function tellFrom(
  cluster: Cluster,
  name: string,
  address: string,
  port: number,
  from?: number,
): Promise<Answer> {
  const source = from === undefined ? '' : `,sourceport=${from}`
  const script = `echo question | timeout ${PAUSE} socat -t 2 - UDP:${literal(address)}:${port}${source}`
  return answerOf(await inPod(cluster, name, 'sh', '-c', script))
}

/** Asks from anywhere else: `run` runs a program there. */
export async function ask(
  run: (...argv: string[]) => Promise<string>,
  address: string,
  port = 80,
): Promise<Answer> {
  const script = `exec 3<>/dev/tcp/${address}/${port} && ${request} >&3 && tail -n 1 <&3`
  return answerOf(await run('timeout', `${PAUSE}`, 'bash', '-c', script))
}
