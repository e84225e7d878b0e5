import type { Host } from '../test/bed/host.ts'
import { addNamespace, deleteNamespace, inNamespace, ownName } from '../test/bed/namespace.ts'
import { nameServer, namespace, type Place } from './paths.ts'

const MACS = ['02:00:00:00:99:01', '02:00:00:00:99:02'] as const

/**
 * A network over two hosts by the kernel alone: on each a bridge with a VXLAN link and the veth of one end, static entries, no rule. Its
 * hosts are on the wire of the emulated ones; its ends have what each container of Docker's has for its name server.
 */
export class BareTunnel {
  readonly from: Place
  readonly server: Place
  readonly to = '10.98.0.2'
  readonly #names: readonly string[]

  private constructor(names: readonly string[], [from = '', server = '']: readonly string[]) {
    this.#names = names
    this.from = namespace(from)
    this.server = namespace(server)
  }

  static async start(first: Host): Promise<BareTunnel> {
    const hosts = [1, 2].map(side => ownName(`tunnel${side}`))
    const ends = [1, 2].map(side => ownName(`tunnel-end${side}`))
    for (const name of [...hosts, ...ends]) await addNamespace(name)
    for (const side of [1, 2]) {
      const [host = '', end = ''] = [hosts[side - 1], ends[side - 1]]
      await plugIn(ownName(`wire-${first.settings.name}`), host, side)
      await makeTunnel(host, side)
      await makeEnd(host, end, side)
    }
    return new BareTunnel([...ends, ...hosts], ends)
  }

  async stop(): Promise<void> {
    for (const name of this.#names) await deleteNamespace(name)
  }
}

const words = (text: string) => text.split(' ')

async function plugIn(wire: string, host: string, side: number): Promise<void> {
  const port = `tunnel${side}`
  await inNamespace(wire, ...words(`ip link add ${port} type veth peer name eth0 netns ${host}`))
  await inNamespace(wire, ...words(`ip link set ${port} master br0 up`))
  await inNamespace(host, ...words(`ip address add 10.250.0.${210 + side}/24 dev eth0`))
  await inNamespace(host, ...words('ip link set eth0 up'))
}

async function makeTunnel(host: string, side: number): Promise<void> {
  const mac = MACS[side === 1 ? 1 : 0]
  const local = `10.250.0.${210 + side}`
  const other = `10.250.0.${213 - side}`
  const vxlan = `type vxlan id 99 dstport 4789 local ${local} nolearning`
  for (const line of [
    'ip link add br0 up mtu 1450 type bridge',
    `ip link add vx0 up mtu 1450 master br0 ${vxlan}`,
    `bridge fdb add ${mac} dev vx0 dst ${other} self`,
    `bridge fdb add ${mac} dev vx0 master static`,
  ])
    await inNamespace(host, ...words(line))
}

async function makeEnd(host: string, end: string, side: number): Promise<void> {
  const veth = `type veth peer name eth0 mtu 1450 netns ${end}`
  await inNamespace(host, ...words(`ip link add name port up mtu 1450 master br0 ${veth}`))
  for (const line of [
    `ip link set eth0 address ${MACS[side === 1 ? 0 : 1]} up`,
    `ip address add 10.98.0.${side}/24 dev eth0`,
    `ip neighbour add 10.98.0.${3 - side} lladdr ${MACS[side === 1 ? 1 : 0]} dev eth0`,
  ])
    await inNamespace(end, ...words(line))
  for (const rule of nameServer) await inNamespace(end, 'iptables', '-t', 'nat', ...words(rule))
}
