import { randomBytes } from 'node:crypto'
import { cp, mkdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { writeArchive, writeSleeper } from '../bed/archive.ts'
import { engineRoot } from '../bed/engines.ts'
import { imageTar } from '../bed/image.ts'
import { addNamespace, deleteNamespace, inNamespace, ownName } from '../bed/namespace.ts'
import { type Result, run } from '../bed/run.ts'
import { image as pause } from '../cni/containerd.ts'
import { Control } from './control.ts'
import { Machine } from './machine.ts'
import { serveNode } from './worker.ts'

const project = resolve(import.meta.dirname, '../..')

/** Image of pods: `serve` tells who asks, see test/bed/image.ts. */
export const box = 'localhost/box:1'

/** Two nodes on one link, with the control plane, and one behind a router. */
export const places = { a: '10.77.1.1', b: '10.77.1.2', c: '10.77.2.3' } as const
export type NodeName = keyof typeof places
export const nodeNames = Object.keys(places) as NodeName[]

/** A Kubernetes of three nodes whose pods have their network from deploy/kubernetes. */
export class Cluster {
  /** Is also the machine outside. */
  readonly router = ownName('kube-router')
  readonly outside = '10.77.1.254'
  readonly nodes = {} as Record<NodeName, Machine>
  control!: Control

  static async up(): Promise<Cluster> {
    const cluster = new Cluster()
    await cluster.#wire()
    const machine = await Machine.boot('control', '10.77.1.9', cluster.router)
    cluster.control = new Control(machine)
    await cluster.control.start(nodeNames)
    const archives = await cluster.#archives()
    for (const name of nodeNames) cluster.nodes[name] = await Machine.boot(name, places[name], cluster.router)
    await Promise.all(nodeNames.map(name => serveNode(cluster.nodes[name], cluster.control, archives)))
    return cluster
  }

  /** `kubectl` as an administrator. */
  kubectl(...args: string[]): Promise<string> {
    return this.control.machine.run(...this.control.kubectl(...args))
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

  /** Installs tsnet as docs/kubernetes.md says. */
  async installTsnet(): Promise<void> {
    const folder = join(this.control.machine.folder, 'deploy')
    await cp(join(project, 'deploy/kubernetes'), folder, { recursive: true })
    const key = randomBytes(32).toString('base64')
    const settings = `TSNET_KEY=${key}\nTSNET_JOIN=${places.a},${places.c}\n`
    await writeFile(join(folder, 'tsnet.env'), settings)
    await this.kubectl('apply', '-k', folder)
  }

  /** Runs a program beyond the nodes. */
  outsider(...argv: string[]): Promise<string> {
    return inNamespace(this.router, ...argv)
  }

  async dispose(): Promise<void> {
    for (const machine of [...Object.values(this.nodes), this.control?.machine]) await machine?.dispose()
    await deleteNamespace(this.router)
  }

  async #wire(): Promise<void> {
    await addNamespace(this.router)
    await inNamespace(this.router, 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
    for (const subnet of ['1', '2']) {
      const ip = (...args: string[]) => inNamespace(this.router, 'ip', ...args)
      await ip('link', 'add', `br${subnet}`, 'type', 'bridge', 'forward_delay', '0')
      await ip('address', 'add', `10.77.${subnet}.254/24`, 'dev', `br${subnet}`)
      await ip('link', 'set', `br${subnet}`, 'up')
    }
  }

  async #archives(): Promise<string[]> {
    const folder = join(this.control.machine.folder, 'images')
    await mkdir(folder, { recursive: true })
    const path = (name: string) => join(folder, `${name}.tar`)
    const layer = await imageTar(await engineRoot('20.10'))
    await writeArchive({ name: box, layer, command: ['serve'] }, path('box'))
    await writeSleeper(pause, path('pause'))
    return [path('box'), path('pause'), join(project, 'dist/tsnet-image.tar')]
  }
}
