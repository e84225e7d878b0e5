import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Member, Status } from '../../cli/answers.ts'
import { addNamespace, deleteNamespace, inNamespace, ownName } from '../bed/namespace.ts'
import { until } from '../bed/until.ts'
import { plug } from '../bed/wire.ts'
import { Node, type Sandbox, shim } from './node.ts'
import { type Config, Plugin } from './runtime.ts'

const config = { cniVersion: '1.0.0', type: 'tsnet-cni', mode: 'nodes' }
const pods = {
  ...{ ...config, name: 'pods' },
  ipam: { type: 'tsnet', ranges: [{ subnet: '10.93.0.0/16' }, { subnet: 'fd00:93::/64' }] },
}
const tunnelled = {
  ...{ ...config, name: 'tunnelled', direct: false },
  ipam: { type: 'tsnet', ranges: [{ subnet: '10.94.0.0/16' }, { subnet: 'fd00:94::/64' }] },
}
const places = { a: 'fd00:77::a', b: 'fd00:77::b' }
type Name = keyof typeof places
const names = Object.keys(places) as Name[]

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip

describeAsRoot('cni: nodes that meet by IPv6', function () {
  this.timeout(60_000)
  const wire = ownName('cni-wire')
  const nodes = {} as Record<Name, Node>

  before(async () => {
    await addNamespace(wire)
    await inNamespace(wire, 'ip', 'link', 'add', 'name', 'br0', 'up', 'type', 'bridge', 'forward_delay', '0')
    const key = randomBytes(32).toString('base64')
    for (const name of names) {
      const known = { TSNET_KEY: key, TSNET_JOIN: places.a, TSNET_BIND: places[name] }
      nodes[name] = await Node.bare(name, known)
      const { namespace } = nodes[name]
      await plug(wire, namespace, `port-${name}`, `02:fa:00:00:00:0${name}`, [`${places[name]}/64`])
      await inNamespace(namespace, 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1')
    }
    await Promise.all(names.map(name => nodes[name].start()))
  })
  after(async () => {
    for (const name of names) await nodes[name]?.dispose()
    await deleteNamespace(wire)
  })

  async function pod(name: Name, network: Config): Promise<{ sandbox: Sandbox; addresses: string[] }> {
    const plugin = new Plugin(shim, network, nodes[name].namespace, nodes[name].env)
    const sandbox = await nodes[name].sandbox()
    const { code, stdout, json } = await plugin.add(sandbox)
    assert.equal(code, 0, `${stdout}\n${nodes[name].log()}`)
    return { sandbox, addresses: json.ips.map(({ address }) => address.split('/')[0] as string) }
  }

  it('are told by their address and port', async () => {
    const members = await until('both to be there', async () => {
      const all = await nodes.a.tsnet<Member[]>('members')
      return all.length === 2 ? all : undefined
    })
    assert.deepEqual(members.map(each => each.address).sort(), ['[fd00:77::a]:7947', '[fd00:77::b]:7947'])
    assert.equal((await nodes.a.tsnet<Status>('status')).cluster?.bind, '[fd00:77::a]:7947')
  })

  for (const [network, way4, way6] of [
    [pods, /via inet6 fe80::75:\S+ dev tsb-/, /via fd00:77::b dev eth0/],
    [tunnelled, /via inet6 fe80::75:\S+ dev tsb-/, /via fe80::75:\S+ dev tsb-/],
  ] as const)
    it(`reach each other’s pods by both families (${network.name})`, async () => {
      const [here, there] = [await pod('a', network), await pod('b', network)]
      const [four = '', six = ''] = there.addresses
      await until('the ways', async () => {
        assert.match(await nodes.a.run('ip', 'route', 'get', four), way4)
        assert.match(await nodes.a.run('ip', 'route', 'get', six), way6)
        return true
      })
      for (const from of [here.sandbox, nodes.a])
        for (const address of [four, six])
          await until(`${address} to answer`, () =>
            from.run('busybox', 'ping', '-c', '1', '-W', '1', address),
          )
    })
})
