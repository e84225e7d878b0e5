import { mkdir, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { writeArchive } from '../bed/archive.ts'
import { patience } from '../bed/patience.ts'
import { run } from '../bed/run.ts'
import { coredns } from './build.ts'

const image = 'localhost/coredns:1'
/** Writes CoreDNS as an image. */
export async function writeDnsImage(to: string): Promise<void> {
  const layer = `${to}.layer`
  await mkdir(dirname(to), { recursive: true })
  await run(['tar', '-C', dirname(coredns), '-cf', layer, 'coredns'])
  await writeArchive({ name: image, layer, command: ['/coredns'] }, to)
  await rm(layer)
}

const labels = { 'k8s-app': 'kube-dns' }
const inSystem = (name: string) => ({ name, namespace: 'kube-system' })

/** The cluster's DNS as it is usually installed, at an address. Names that aren't the cluster's come from `upstream`. */
export const clusterDns = (address: string, upstream: string): object[] => [
  { apiVersion: 'v1', kind: 'ServiceAccount', metadata: inSystem('coredns') },
  ...access,
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: inSystem('coredns'),
    data: { Corefile: corefile(upstream) },
  },
  deployment,
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { ...inSystem('kube-dns'), labels },
    spec: {
      selector: labels,
      clusterIP: address,
      ports: ['UDP', 'TCP'].map(protocol => ({ name: `dns-${protocol.toLowerCase()}`, port: 53, protocol })),
    },
  },
]

const corefile = (upstream: string) => `.:53 {
  errors
  health
  ready
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    pods insecure
    fallthrough in-addr.arpa ip6.arpa
    ttl 1
  }
  forward . ${upstream}
  cache 1
}
`

const role = 'system:coredns'
const access = [
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: role },
    rules: [
      { apiGroups: [''], resources: ['services', 'pods', 'namespaces'], verbs: ['list', 'watch'] },
      { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
    ],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: role },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
    subjects: [{ kind: 'ServiceAccount', ...inSystem('coredns') }],
  },
]

const probe = (path: string, port: number) => ({
  httpGet: { path, port },
  periodSeconds: 1,
  timeoutSeconds: patience,
  failureThreshold: 3 * patience,
})

const container = {
  name: 'coredns',
  image,
  imagePullPolicy: 'Never',
  command: ['/coredns', '-conf', '/etc/coredns/Corefile'],
  volumeMounts: [{ name: 'config', mountPath: '/etc/coredns', readOnly: true }],
  ports: ['UDP', 'TCP'].map(protocol => ({ containerPort: 53, protocol })),
  readinessProbe: probe('/ready', 8181),
  livenessProbe: probe('/health', 8080),
}

const deployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: inSystem('coredns'),
  spec: {
    replicas: 2,
    selector: { matchLabels: labels },
    template: {
      metadata: { labels },
      spec: {
        serviceAccountName: 'coredns',
        dnsPolicy: 'Default',
        tolerations: [{ operator: 'Exists' }],
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: 'kubernetes.io/hostname',
            whenUnsatisfiable: 'DoNotSchedule',
            labelSelector: { matchLabels: labels },
          },
        ],
        containers: [container],
        volumes: [{ name: 'config', configMap: { name: 'coredns' } }],
      },
    },
  },
}
