import assert from 'node:assert/strict'
import { Refused } from '../../core/errors.ts'
import type { EndpointSpec, NetworkSpec } from '../../core/faces.ts'
import type { LinkRow } from '../../core/rows.ts'
import { World } from '../support/world.ts'

const net = (id: string, pool: string, words: Record<string, string>): NetworkSpec => ({
  id,
  words: { mode: 'macvlan', parent: 'eth0', ...words },
  internal: false,
  ipv4: [{ pool, gateway: pool.replace('.0/', '.1/'), aux: {} }],
  ipv6: [],
  enable: { ipv4: true, ipv6: false },
})
const ipvlan = (id: string, pool: string, words: Record<string, string> = {}): NetworkSpec => ({
  ...net(id, pool, {}),
  words: { mode: 'ipvlan', parent: 'eth0', ...words },
})
const endpoint = (
  id: string,
  network: string,
  ipv4: string,
  more: Partial<EndpointSpec> = {},
): EndpointSpec => ({
  ...{ id, network, ipv4, options: {}, ports: [] },
  ...more,
})

const link = (name: string, more: Partial<LinkRow> = {}): LinkRow => ({
  ...{ kind: 'link', name, type: 'veth', up: true, mtu: 1500 },
  ...more,
})

/** A host with two links to LANs, one that is a port of a bridge, and the loopback link. */
async function started(): Promise<World> {
  const world = new World()
  for (const row of [link('eth0'), link('eth1'), link('eth2', { master: 'br0' }), link('lo')])
    world.kernel.world.foreign(row)
  await world.settler.settle('everything')
  return world
}

const links = (world: World) =>
  [...world.kernel.world.links.keys()].filter(name => !/^(eth\d|lo)$/.test(name))

describe('networks on a parent', () => {
  it('a whole life leaves nothing', async () => {
    const world = await started()
    const before = world.kernel.dump()
    await world.engine.createNetwork(net('n1', '10.1.0.0/24', { parent: 'eth0.10', host_access: 'true' }))
    assert.deepEqual(await world.engine.createEndpoint(endpoint('e1', 'n1', '10.1.0.2/24')), {
      mac: '02:42:0a:01:00:02',
    })
    assert.deepEqual(links(world), ['eth0.10', 'tsh-n1', 'tsm-e1'])
    await world.engine.join('e1', '/run/netns/1')
    assert.equal(world.kernel.world.announced.get('eth0.10 10.1.0.2'), '02:42:0a:01:00:02')
    await world.engine.deleteEndpoint('e1')
    await world.engine.deleteNetwork('n1')
    await world.settler.settle('everything')
    assert.deepEqual(world.kernel.dump(), before)
  })

  it('a VLAN goes with the last network that used it, and one of somebody else stays', async () => {
    const world = await started()
    world.kernel.world.foreign(link('eth1.7', { type: 'vlan' }))
    await world.engine.createNetwork(net('n1', '10.1.0.0/24', { parent: 'eth0.10' }))
    await world.engine.createNetwork(net('n2', '10.2.0.0/24', { parent: 'eth0.10' }))
    await world.engine.createNetwork(net('n3', '10.3.0.0/24', { parent: 'eth1.7' }))
    const settled = async (id: string) => {
      await world.engine.deleteNetwork(id)
      await world.settler.settle({ ...(await import('../../core/desired.ts')).nothing })
      return links(world)
    }
    assert.deepEqual(await settled('n1'), ['eth1.7', 'eth0.10'])
    assert.deepEqual(await settled('n3'), ['eth1.7', 'eth0.10'])
    assert.deepEqual(await settled('n2'), ['eth1.7'])
  })

  const refused: [title: string, NetworkSpec, sentence: RegExp][] = [
    [
      'a parent that is not there',
      net('x', '10.9.0.0/24', { parent: 'eth7' }),
      /parent eth7 is no link of this host/,
    ],
    ['a VLAN of none', net('x', '10.9.0.0/24', { parent: 'eth7.5' }), /neither is eth7, whose VLAN 5/],
    ['a VLAN that can’t be', net('x', '10.9.0.0/24', { parent: 'eth0.4095' }), /the form of a VLAN/],
    [
      'a VLAN that has another name',
      net('x', '10.9.0.0/24', { parent: 'eth1.7' }),
      /VLAN 7 of eth1 is there as office: name that/,
    ],
    ['the loopback link', net('x', '10.9.0.0/24', { parent: 'lo' }), /parent lo is the loopback link/],
    ['a port of a bridge', net('x', '10.9.0.0/24', { parent: 'eth2' }), /eth2 is a port of br0.*name br0/],
    ['a larger MTU', net('x', '10.9.0.0/24', { mtu: '1600' }), /"mtu" can't be 1600: parent eth0 has 1500/],
    ['passthru beside another', net('x', '10.9.0.0/24', { macvlan_mode: 'passthru' }), /one network alone/],
    ['ipvlan beside macvlan', ipvlan('x', '10.9.0.0/24'), /carries macvlan or ipvlan, not both/],
    [
      'ipvlan of another mode',
      ipvlan('x', '10.9.0.0/24', { parent: 'eth1', ipvlan_mode: 'l3' }),
      /same ipvlan_mode/,
    ],
    [
      'ipvlan with host access and no address for the host',
      ipvlan('x', '10.9.0.0/24', { parent: 'eth1', host_access: 'true' }),
      /set one aside with --aux-address host=/,
    ],
  ]
  for (const [title, spec, message] of refused)
    it(`refuses ${title}`, async () => {
      const world = await started()
      world.kernel.world.foreign(link('office', { type: 'vlan', parent: 'eth1', tag: 7 }))
      await world.engine.createNetwork(net('n1', '10.1.0.0/24', {}))
      await world.engine.createNetwork(ipvlan('n2', '10.2.0.0/24', { parent: 'eth1' }))
      const before = world.kernel.dump()
      await assert.rejects(world.engine.createNetwork(spec), { name: Refused.name, message })
      assert.deepEqual(world.kernel.dump(), before)
    })

  it('several networks share a parent', async () => {
    const world = await started()
    await world.engine.createNetwork(net('n1', '10.1.0.0/24', {}))
    await world.engine.createNetwork(net('n2', '10.2.0.0/24', { macvlan_mode: 'private' }))
    await world.engine.createNetwork(ipvlan('n3', '10.3.0.0/24', { parent: 'eth1' }))
    await world.engine.createNetwork(ipvlan('n4', '10.4.0.0/24', { parent: 'eth1' }))
  })

  it('refuses an address that somebody has, naming the MAC, unless it is told not to ask', async () => {
    const world = await started()
    world.kernel.world.neighboursOn.set('eth0 10.1.0.2', '02:00:00:00:00:99')
    world.kernel.world.neighboursOn.set('eth1 10.2.0.2', '02:00:00:00:00:99')
    await world.engine.createNetwork(net('n1', '10.1.0.0/24', {}))
    await world.engine.createNetwork(net('n2', '10.2.0.0/24', { parent: 'eth1', probe: 'false' }))
    await assert.rejects(world.engine.createEndpoint(endpoint('e1', 'n1', '10.1.0.2/24')), {
      name: Refused.name,
      message: /10\.1\.0\.2 is in use on eth0 by 02:00:00:00:00:99/,
    })
    assert.deepEqual(links(world), [])
    await world.engine.createEndpoint(endpoint('e2', 'n2', '10.2.0.2/24'))
  })

  it('containers of an ipvlan network have no MAC of their own', async () => {
    const world = await started()
    await world.engine.createNetwork(ipvlan('n1', '10.1.0.0/24'))
    await assert.rejects(
      world.engine.createEndpoint(endpoint('e1', 'n1', '10.1.0.2/24', { mac: '02:00:00:00:00:01' })),
      { name: Refused.name, message: /can't have MAC 02:00:00:00:00:01 here/ },
    )
    assert.deepEqual(await world.engine.createEndpoint(endpoint('e1', 'n1', '10.1.0.2/24')), { mac: '' })
  })

  it('a container gets its link back when its parent is back', async () => {
    const world = await started()
    const { kernel, engine } = world
    await engine.createNetwork(net('n1', '10.1.0.0/24', { host_access: 'true' }))
    await engine.createEndpoint(endpoint('e1', 'n1', '10.1.0.2/24'))
    await engine.join('e1', '/run/netns/1')
    const again = async () => {
      await world.settler.settle('everything')
      await engine.restore()
    }
    await again()
    assert.deepEqual(kernel.world.insides.size, 0, 'libnetwork has not moved it yet')
    kernel.world.lose('eth0')
    await again()
    assert.deepEqual(links(world), [])
    kernel.world.foreign(link('eth0'))
    await again()
    await again()
    assert.deepEqual(links(world), ['tsh-n1'])
    assert.deepEqual((await kernel.look('/run/netns/1', 'eth0'))?.routes, [
      { to: '0.0.0.0/0', via: '10.1.0.1' },
    ])
    assert.equal(kernel.world.insides.size, 1)
  })
})
