import { randomBytes } from 'node:crypto'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { isIPv6 } from 'node:net'
import { join, resolve } from 'node:path'
import { writeArchive, writeSleeper } from '../bed/archive.ts'
import { engineRoot } from '../bed/engines.ts'
import { imageTar } from '../bed/image.ts'
import { addNamespace, deleteNamespace, inNamespace, ownName } from '../bed/namespace.ts'
import { timeout } from '../bed/patience.ts'
import { type Result, run } from '../bed/run.ts'
import { until } from '../bed/until.ts'
import { image as pause } from '../cni/containerd.ts'
import { Control } from './control.ts'
import { writeDnsImage } from './dns.ts'
import { Machine } from './machine.ts'
import { addressesAt, dual, type Family, type Plan, pods } from './plan.ts'
import { type ProxyMode, serveProxy } from './proxy.ts'
import { serveNode } from './worker.ts'

const project = resolve(import.meta.dirname, '../..')

/** Image of pods: `serve` tells who asks, see test/bed/image.ts. */
export const box = 'localhost/box:1'

export const newKey = () => randomBytes(32).toString('base64')

/** Two nodes on one link, with the control plane, and one behind a router. */
export const places = { a: '10.77.1.1', b: '10.77.1.2', c: '10.77.2.3' } as const
export type NodeName = keyof typeof places
export const nodeNames = Object.keys(places) as NodeName[]

/** A Kubernetes of three nodes whose pods have their network from deploy/kubernetes. */
export class Cluster {
  /** Is also the machine outside. */
  readonly router = ownName('kube-router')
  readonly outside: string
  readonly #plan: Plan
  readonly nodes = {} as Record<NodeName, Machine>
  control!: Control
  /** The gossip key that installTsnet() brings to all nodes. */
  key = newKey()

  private constructor(plan: Plan) {
    this.#plan = plan
    this.outside = addressesAt(plan, '10.77.1.254')[0] as string
  }

  static async up(mode: ProxyMode, plan: Plan = dual): Promise<Cluster> {
    const cluster = new Cluster(plan)
    try {
      await cluster.#boot()
      await cluster.proxy(mode)
      return cluster
    } catch (error) {
      await cluster.dispose()
      throw error
    }
  }

  /** `kubectl` as an administrator. */
  kubectl(...args: string[]): Promise<string> {
    return run(this.control.machine.holder.enter(...this.control.kubectl(...args)), { deadline: 150_000 })
  }

  /** Arguments that put a command into a pod. */
  enter(pod: string, ...argv: string[]): string[] {
    return this.control.machine.holder.enter(...this.control.kubectl('exec', '-i', pod, '--', ...argv))
  }

  attemptKubectl(...args: string[]): Promise<Result> {
    return this.control.machine.attempt(this.control.kubectl(...args))
  }

  /** Makes objects, or makes them what they are to be. */
  async apply(...objects: object[]): Promise<void> {
    const list = { apiVersion: 'v1', kind: 'List', items: objects }
    const argv = this.control.machine.holder.enter(...this.control.kubectl('apply', '-f', '-'))
    await run(argv, { input: JSON.stringify(list) })
  }

  async get<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.kubectl('get', '-o', 'json', ...args)) as T
  }

  /** Installs tsnet as docs/kubernetes.md says, or changes it; `more` goes into its configuration. Returns when it is on every node. */
  async installTsnet(more: object = {}): Promise<void> {
    const folder = join(this.control.machine.folder, 'deploy')
    await cp(join(project, 'deploy/kubernetes'), folder, { recursive: true })
    const conflist = JSON.parse(await readFile(join(folder, 'cni.conflist'), 'utf8'))
    Object.assign(conflist.plugins[0], more)
    await writeFile(join(folder, 'cni.conflist'), JSON.stringify(conflist))
    const settings = `TSNET_KEY=${this.key}\nTSNET_JOIN=${this.nodes.a.address},${this.nodes.c.address}\n`
    await writeFile(join(folder, 'tsnet.env'), settings)
    await this.kubectl('apply', '-k', folder)
    await this.rolledOut()
    for (const name of nodeNames)
      await until(`${name} to have its configuration`, async () => {
        const found = await readFile(this.nodes[name].path('/etc/cni/net.d/05-tsnet.conflist'), 'utf8')
        return found === JSON.stringify(conflist)
      })
    await this.kubectl('wait', '--for=condition=Ready', 'nodes', '--all', timeout(60))
  }

  /** Takes it away as docs/kubernetes.md says. */
  async uninstallTsnet(): Promise<void> {
    const folder = join(this.control.machine.folder, 'deploy')
    await this.kubectl('delete', '-k', folder)
    await this.kubectl('apply', '-n', 'kube-system', '-f', join(folder, 'uninstall.yaml'))
    const rollout = ['rollout', 'status', '-n', 'kube-system', 'daemonset/tsnet-uninstall']
    await this.kubectl(...rollout, timeout(140))
  }

  /** Returns when each node has the newest tsnetd. */
  async rolledOut(): Promise<void> {
    await this.kubectl('rollout', 'status', '-n', 'kube-system', 'daemonset/tsnet', timeout(140))
  }

  /** Has kube-proxy in this mode on every node. */
  async proxy(mode: ProxyMode): Promise<void> {
    await Promise.all(nodeNames.map(name => serveProxy(this.nodes[name], this.control, mode)))
  }

  /** What pods of another node see this one as: as itself where the two share a link, by the tunnel as its own in the pods' network. */
  async seenAs(from: NodeName, there: NodeName, family: Family = this.#meeting): Promise<string> {
    const isStraight = family === this.#meeting && from !== 'c' && there !== 'c'
    if (isStraight) return addressesAt(this.#plan, places[from])[0] as string
    const argv = ['ip', '-o', 'address', 'show', 'scope', 'global', 'to', pods[family]]
    return until(
      `${from} to have an address of its own`,
      async () => / inet6? (\S+)\/(?:32|128) /.exec(await this.nodes[from].run(...argv))?.[1],
    )
  }

  /** Runs a program beyond the nodes. */
  outsider(...argv: string[]): Promise<string> {
    return inNamespace(this.router, ...argv)
  }

  async dispose(): Promise<void> {
    for (const machine of [...Object.values(this.nodes), this.control?.machine]) await machine?.dispose()
    await deleteNamespace(this.router)
  }

  /** Nodes' tunnels have addresses of this family. */
  get #meeting(): Family {
    return this.#plan.families[0] as Family
  }

  async #boot(): Promise<void> {
    await this.#wire()
    this.control = new Control(await this.#machine('control', '10.77.1.9'))
    await this.control.start(nodeNames)
    const archives = await this.#archives()
    for (const name of nodeNames) this.nodes[name] = await this.#machine(name, places[name])
    await Promise.all(nodeNames.map(name => serveNode(this.nodes[name], this.control, archives)))
  }

  #machine(name: string, place: string): Promise<Machine> {
    return Machine.boot(name, place, this.router, this.#plan)
  }

  async #wire(): Promise<void> {
    await addNamespace(this.router)
    await inNamespace(this.router, 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1')
    for (const subnet of ['1', '2']) {
      const ip = (...args: string[]) => inNamespace(this.router, 'ip', ...args)
      await ip('link', 'add', `br${subnet}`, 'type', 'bridge', 'forward_delay', '0')
      for (const each of addressesAt(this.#plan, `10.77.${subnet}.254`))
        await ip('address', 'add', `${each}/${isIPv6(each) ? 64 : 24}`, 'dev', `br${subnet}`, 'nodad')
      await ip('link', 'set', `br${subnet}`, 'up')
    }
  }

  async #archives(): Promise<string[]> {
    const folder = join(this.control.machine.folder, 'images')
    await mkdir(folder, { recursive: true })
    const path = (name: string) => join(folder, `${name}.tar`)
    const layer = await imageTar(await engineRoot(this.#plan.engine))
    await writeArchive({ name: box, layer, command: ['serve'] }, path('box'))
    await writeSleeper(pause, path('pause'))
    await writeDnsImage(path('dns'))
    return [path('box'), path('pause'), path('dns'), join(project, 'dist/tsnet-image.tar')]
  }
}
