import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../bed/run.ts'
import { literal } from '../docker/probes.ts'
import { binaries, etcd } from './build.ts'
import type { Machine } from './machine.ts'
import { apisOf, podsOf, servicesOf } from './plan.ts'

/** Who a program says it is to the API server: user and groups. */
const admin = { user: 'admin', groups: ['system:masters'] }
export const kubelet = (node: string) => ({ user: `system:node:${node}`, groups: ['system:nodes'] })
export const proxy = { user: 'system:kube-proxy', groups: [] as string[] }
type Who = { user: string; groups: string[] }

/** A control plane on one machine: etcd, API server, controllers, scheduler. */
export class Control {
  readonly machine: Machine
  readonly #folder: string
  readonly #tokens: string[] = []

  constructor(machine: Machine) {
    this.machine = machine
    this.#folder = join(machine.folder, 'control')
  }

  /** `nodes` are names of nodes that may come. */
  async start(nodes: readonly string[]): Promise<void> {
    await mkdir(this.#folder, { recursive: true })
    await this.#certify()
    for (const who of [admin, proxy, ...nodes.map(kubelet)]) await this.kubeconfig(who)
    await writeFile(this.#path('tokens.csv'), this.#tokens.join('\n'))
    await this.#serve()
  }

  /** Path of the file by which a program reaches the API server; the same is read on every machine. */
  async kubeconfig({ user, groups }: Who): Promise<string> {
    const path = this.#path(`${user.replaceAll(':', '-')}.conf`)
    const token = `token-of-${user}`
    this.#tokens.push(`${token},${user},${user},"${groups.join()}"`)
    const server = `https://${literal(this.machine.address)}:6443`
    const authority = (await readFile(this.#path('server.crt'))).toString('base64')
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'bed', cluster: { server, 'certificate-authority-data': authority } }],
      users: [{ name: user, user: { token } }],
      contexts: [{ name: 'bed', context: { cluster: 'bed', user } }],
      'current-context': 'bed',
    }
    await writeFile(path, JSON.stringify(config))
    return path
  }

  pathOf = ({ user }: Who): string => this.#path(`${user.replaceAll(':', '-')}.conf`)

  /** The command that asks the API server, as an administrator. */
  kubectl = (...args: string[]): string[] => [
    join(binaries, 'kubectl'),
    `--kubeconfig=${this.pathOf(admin)}`,
    ...args,
  ]

  /** One certificate serves as its own authority, and its key signs service accounts' tokens. */
  async #certify(): Promise<void> {
    const addresses = [this.machine.address, ...apisOf(this.machine.plan)].map(each => `IP:${each}`)
    const names = `subjectAltName=${addresses.join()},DNS:kubernetes.default.svc`
    const files = ['-keyout', this.#path('server.key'), '-out', this.#path('server.crt')]
    const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30', '-subj', '/CN=bed']
    await run(['openssl', ...request, '-addext', names, ...files])
  }

  async #serve(): Promise<void> {
    await run(['cp', join(await etcd(), 'usr/bin/etcd'), this.machine.path('/opt/etcd')])
    await this.machine.serve({ argv: ['/opt/etcd', '--data-dir=/var/lib/etcd'], ready: this.#opens(2379) })
    await this.machine.serve({ argv: ['kube-apiserver', ...this.#apiserver()], ready: this.#answers })
    const conf = [`--kubeconfig=${this.pathOf(admin)}`, '--leader-elect=false']
    const controllers = ['kube-controller-manager', ...conf, ...this.#controllers()]
    await this.machine.serve({ argv: controllers, ready: this.#opens(10257) })
    await this.machine.serve({ argv: ['kube-scheduler', ...conf], ready: this.#opens(10259) })
  }

  #apiserver(): string[] {
    return [
      '--etcd-servers=http://127.0.0.1:2379',
      `--bind-address=${this.machine.address}`,
      `--advertise-address=${this.machine.address}`,
      `--tls-cert-file=${this.#path('server.crt')}`,
      `--tls-private-key-file=${this.#path('server.key')}`,
      `--token-auth-file=${this.#path('tokens.csv')}`,
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${this.#path('server.key')}`,
      `--service-account-signing-key-file=${this.#path('server.key')}`,
      `--service-cluster-ip-range=${servicesOf(this.machine.plan)}`,
      '--authorization-mode=Node,RBAC',
      '--allow-privileged=true',
      '--kubelet-preferred-address-types=InternalIP',
    ]
  }

  #controllers(): string[] {
    return [
      `--service-account-private-key-file=${this.#path('server.key')}`,
      `--root-ca-file=${this.#path('server.crt')}`,
      '--allocate-node-cidrs=true',
      `--cluster-cidr=${podsOf(this.machine.plan)}`,
      `--service-cluster-ip-range=${servicesOf(this.machine.plan)}`,
    ]
  }

  #answers = async () => (await this.machine.attempt(this.kubectl('get', '--raw', '/readyz'))).stdout === 'ok'

  #opens = (port: number) => async () =>
    (await this.machine.attempt(['bash', '-c', `exec 3<>/dev/tcp/127.0.0.1/${port}`])).code === 0

  #path = (name: string) => join(this.#folder, name)
}
