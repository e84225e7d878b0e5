import { randomBytes } from 'node:crypto'
import { addNamespace, deleteNamespace, inNamespace, ownName } from '../bed/namespace.ts'
import { Node } from './node.ts'

/** Two nodes on one link and a third behind a router. */
export const places = { a: '10.77.1.1', b: '10.77.1.2', c: '10.77.2.3' } as const
export type Name = keyof typeof places
export const names = Object.keys(places) as Name[]

/** Those nodes, which know each other by gossip. */
export class Routed {
  readonly router: string
  readonly nodes: Record<Name, Node>

  private constructor(router: string, nodes: Record<Name, Node>) {
    this.router = router
    this.nodes = nodes
  }

  /** Without their daemons. */
  static async bare(settings: (name: Name) => Record<string, string> = () => ({})): Promise<Routed> {
    const router = ownName('cni-router')
    await addNamespace(router)
    await inNamespace(router, 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
    for (const subnet of ['1', '2']) {
      await inNamespace(router, 'ip', 'link', 'add', `br${subnet}`, 'type', 'bridge', 'forward_delay', '0')
      await inNamespace(router, 'ip', 'address', 'add', `10.77.${subnet}.254/24`, 'dev', `br${subnet}`)
      await inNamespace(router, 'ip', 'link', 'set', `br${subnet}`, 'up')
    }
    const key = randomBytes(32).toString('base64')
    const bed = new Routed(router, {} as Record<Name, Node>)
    for (const name of names) {
      const known = { TSNET_KEY: key, TSNET_JOIN: Object.values(places).join(), TSNET_BIND: places[name] }
      bed.nodes[name] = await Node.bare(name, { ...known, ...settings(name) })
      await bed.#join(bed.nodes[name], places[name])
    }
    return bed
  }

  async start(): Promise<void> {
    await Promise.all(names.map(name => this.nodes[name].start()))
  }

  async dispose(): Promise<void> {
    for (const name of names) await this.nodes[name]?.dispose()
    await deleteNamespace(this.router)
  }

  /** Gives a namespace a link to the router, in the address's subnet. */
  async plug(namespace: string, port: string, address: string): Promise<void> {
    const subnet = address.split('.')[2] as string
    const veth = ['link', 'add', 'name', port, 'up', 'master', `br${subnet}`, 'type', 'veth']
    await inNamespace(this.router, 'ip', ...veth, 'peer', 'name', 'eth0', 'netns', namespace)
    await inNamespace(namespace, 'ip', 'address', 'add', `${address}/24`, 'dev', 'eth0')
    await inNamespace(namespace, 'ip', 'link', 'set', 'eth0', 'up')
    // As kubeadm asks for; where tsnetd has to turn it on, it closes the host for others, as Docker does.
    await inNamespace(namespace, 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
  }

  async #join(node: Node, address: string): Promise<void> {
    await this.plug(node.namespace, node.name, address)
    await node.run('ip', 'route', 'add', 'default', 'via', address.replace(/\d+$/, '254'))
  }
}
