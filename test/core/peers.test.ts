import assert from 'node:assert/strict'
import { nothing } from '../../core/desired.ts'
import type { EndpointSpec, Remote, Scope, Underlay } from '../../core/faces.ts'
import { PeerTable } from '../../core/peers.ts'
import { FakeKernel } from '../../kernel/fake.ts'
import { until } from '../bed/until.ts'
import { World } from '../support/world.ts'

/** A kernel that counts what it is asked and told. */
class Counting extends FakeKernel {
  asked = 0
  reads = 0
  /** Reads wait for it. */
  held: Promise<void> = Promise.resolve()
  override async read(scope: Scope) {
    this.reads++
    this.asked += scope.rows.length
    await this.held
    return super.read(scope)
  }
}

const remote = (i: number, vtep = '10.9.0.7'): Remote => ({
  mac: `02:42:0a:5a:${(i >> 8).toString(16).padStart(2, '0')}:${(i & 255).toString(16).padStart(2, '0')}`,
  addresses: [`10.90.${i >> 8}.${i & 255}`],
  vtep,
})

const endpoint = (id: string, ipv4: string, mac?: string): EndpointSpec => ({
  id,
  network: 'n1',
  ipv4,
  options: {},
  ports: [],
  ...(mac && { mac }),
})

async function started(words: Record<string, string> = {}) {
  const peers = new PeerTable({ ipv4: '10.9.0.1', mtu: 1500, port: 4789 })
  peers.setMembers(['10.9.0.7', '10.9.0.8'])
  peers.setComplete('shop')
  const kernel = new Counting()
  const world = new World(kernel, undefined, peers)
  await world.settler.settle('everything')
  await world.engine.createNetwork({
    id: 'n1',
    words: { mode: 'overlay', name: 'shop', addresses: 'manual', ...words },
    internal: false,
    ipv4: [{ pool: '10.90.0.0/16', gateway: '10.90.0.1/16', aux: {} }],
    ipv6: [],
    enable: { ipv4: true, ipv6: false },
  })
  const table = () => kernel.dump().filter(line => /^(fdb|neighbour)/.test(line))
  return { peers, kernel, world, engine: world.engine, table }
}

describe('peers', () => {
  it('fill the tables of a network that is in use here, and of no other', async () => {
    const { peers, world, engine, kernel, table } = await started()
    const before = kernel.dump()
    await engine.moved([peers.put('shop', remote(5)), peers.put('other', remote(6))])
    assert.deepEqual(kernel.dump(), before)
    await engine.createEndpoint(endpoint('e1', '10.90.9.2/16'))
    assert.deepEqual(table(), [
      'fdb tsx-n1 02:42:0a:5a:00:05 to 10.9.0.7',
      'neighbour tsb-n1 10.90.0.5 at 02:42:0a:5a:00:05',
      'neighbour tsb-n1 10.90.9.2 at 02:42:0a:5a:09:02',
    ])
    assert.deepEqual(await world.settler.plan(), [])
    await engine.deleteEndpoint('e1')
    await world.settler.settle({
      networks: [],
      endpoints: [],
      born: [],
      homes: [],
      places: [],
      members: [],
      before: [],
    })
    assert.deepEqual(kernel.dump(), before)
  })

  it('leave no way to them by the host’s own link when the last endpoint is gone', async () => {
    const { peers, engine, kernel, world } = await started({ mode: 'nodes' })
    peers.self = { ...peers.self, links: [{ name: 'eth0', prefix: '10.9.0.1/24' }] } as Underlay
    kernel.world.foreign({ kind: 'link', name: 'eth0', type: 'veth', up: true })
    await engine.createEndpoint(endpoint('e1', '10.90.9.2/16'))
    await engine.moved([peers.put('shop', remote(5))])
    const routes = () => kernel.dump().filter(line => line.startsWith('route'))
    assert.deepEqual(routes(), ['route 10.90.0.5/32 via 10.9.0.7 dev eth0 src 10.9.0.1'])
    await engine.deleteEndpoint('e1')
    await world.settler.settle(nothing)
    const gone = peers.drop('shop', remote(5).mac)
    await engine.moved(gone ? [gone] : [])
    assert.deepEqual(routes(), [])
  })

  it('leave nothing where a network goes right after its last endpoint, while the kernel is busy', async () => {
    const { world, engine, kernel } = await started()
    const links = () => kernel.dump().filter(line => line.startsWith('link'))
    const before = links()
    await engine.createEndpoint(endpoint('e1', '10.90.9.2/16'))
    const { promise, resolve } = Promise.withResolvers<void>()
    kernel.held = promise
    const busy = world.settler.settle('everything')
    await engine.deleteEndpoint('e1')
    await engine.deleteNetwork('n1')
    resolve()
    await busy
    await engine.moved([])
    assert.deepEqual(links(), before)
  })

  it('come, move and go, at the cost of one whatever there is, and of one settle however many', async () => {
    const { peers, engine, kernel, table } = await started({ multicast: 'true' })
    await engine.createEndpoint(endpoint('e1', '10.90.200.2/16'))
    const many = Array.from({ length: 500 }, (_, i) => peers.put('shop', remote(i + 10)))
    kernel.reads = 0
    await engine.moved(many)
    assert.equal(kernel.reads, 1)
    assert.equal(table().length, 1002)
    kernel.asked = 0
    kernel.log.length = 0
    await engine.moved([peers.put('shop', remote(5))])
    assert.ok(kernel.asked < 8, `${kernel.asked} rows were looked at for one`)
    assert.deepEqual(kernel.log, [
      'add fdb tsx-n1 02:42:0a:5a:00:05 to 10.9.0.7',
      'add neighbour tsb-n1 10.90.0.5 at 02:42:0a:5a:00:05',
    ])
    kernel.log.length = 0
    await engine.moved([peers.put('shop', remote(5))])
    assert.deepEqual(kernel.log, [], 'nothing new')
    await engine.moved([peers.put('shop', remote(5, '10.9.0.8'))])
    assert.deepEqual(kernel.log, [
      'set fdb tsx-n1 02:42:0a:5a:00:05 to 10.9.0.8 (to differs)',
      'add fdb tsx-n1 00:00:00:00:00:00 to 10.9.0.8',
    ])
    kernel.log.length = 0
    const gone = peers.drop('shop', remote(5).mac)
    await engine.moved(gone ? [gone] : [])
    assert.deepEqual(kernel.log.sort(), [
      'delete fdb tsx-n1 00:00:00:00:00:00 to 10.9.0.8 (not wanted)',
      'delete fdb tsx-n1 02:42:0a:5a:00:05 to 10.9.0.8 (not wanted)',
      'delete neighbour tsb-n1 10.90.0.5 at 02:42:0a:5a:00:05 (not wanted)',
    ])
  })

  it('leave an address with who has it now, in whatever order they say so', async () => {
    const { peers, engine, table, world } = await started()
    await engine.createEndpoint(endpoint('e1', '10.90.200.2/16'))
    const [old, young] = [remote(5), { ...remote(6), addresses: ['10.90.0.5'] }]
    await engine.moved([peers.put('shop', old)])
    await engine.moved([peers.put('shop', young)])
    const gone = peers.drop('shop', old.mac)
    await engine.moved(gone ? [gone] : [])
    assert.ok(table().includes(`neighbour tsb-n1 10.90.0.5 at ${young.mac}`))
    assert.deepEqual(await world.settler.plan(), [])
  })

  it('come second to what is here', async () => {
    const { peers, engine, table, world } = await started()
    await engine.createEndpoint(endpoint('e1', '10.90.200.2/16'))
    await engine.moved([peers.put('shop', remote(5))])
    await engine.createEndpoint(endpoint('e2', '10.90.0.5/16', '02:42:00:00:00:09'))
    assert.ok(table().includes('neighbour tsb-n1 10.90.0.5 at 02:42:00:00:00:09'))
    await engine.moved([peers.put('shop', remote(5, '10.9.0.8'))])
    assert.ok(table().includes('neighbour tsb-n1 10.90.0.5 at 02:42:00:00:00:09'))
    await engine.createEndpoint(endpoint('e3', '10.90.0.6/16', remote(5).mac))
    assert.ok(!table().some(line => line.startsWith('fdb')))
    assert.deepEqual(await world.settler.plan(), [])
    await engine.deleteEndpoint('e3')
    await engine.deleteEndpoint('e2')
    await world.settler.settle('everything')
    assert.ok(table().includes('neighbour tsb-n1 10.90.0.5 at 02:42:0a:5a:00:05'))
    assert.ok(table().includes('fdb tsx-n1 02:42:0a:5a:00:05 to 10.9.0.8'))
  })

  it('get neither the address nor the MAC of the gateway, which is on every host', async () => {
    const { peers, engine, world, kernel, table } = await started()
    await engine.createEndpoint(endpoint('e1', '10.90.9.2/16'))
    const before = table()
    const mac =
      / address (02:74:\S+)/.exec(kernel.dump().join('\n'))?.[1] ?? assert.fail(kernel.dump().join('\n'))
    await engine.moved([
      peers.put('shop', { ...remote(5), addresses: ['10.90.0.1'] }),
      peers.put('shop', { ...remote(6), mac, addresses: ['10.90.0.6'] }),
    ])
    assert.deepEqual(table(), ['fdb tsx-n1 02:42:0a:5a:00:05 to 10.9.0.7', ...before])
    assert.deepEqual(await world.settler.plan(), [])
  })

  it('that are not known yet lose nothing', async () => {
    const { peers, engine, kernel, world } = await started()
    await engine.createEndpoint(endpoint('e1', '10.90.200.2/16'))
    await engine.moved([peers.put('shop', remote(5))])
    const before = kernel.dump()
    const nobody = new PeerTable(peers.self)
    const second = new World(new FakeKernel(kernel.world), world.store, nobody)
    await second.settler.settle('everything')
    assert.deepEqual(kernel.dump(), before)
    nobody.setHeard()
    nobody.setMembers(['10.9.0.8'])
    await second.settler.settle('everything')
    assert.deepEqual(
      kernel.dump().filter(line => /^fdb|element members/.test(line)),
      ['element members4 10.9.0.8'],
    )
  })

  it('become members and stop being so', async () => {
    const { peers, engine, kernel } = await started()
    await engine.joined(peers.setMembers(['10.9.0.9', 'fd09::9']))
    assert.deepEqual(
      kernel.dump().filter(line => line.startsWith('element members')),
      ['element members4 10.9.0.9', 'element members6 fd09::9'],
    )
  })

  it('endpoints that come and go at once leave the network as it should be', async () => {
    const { engine, kernel, world } = await started()
    const before = kernel.dump()
    const all = ['10.90.0.2/16', '10.90.0.3/16', '10.90.0.4/16']
    await Promise.all(all.map((ipv4, i) => engine.createEndpoint(endpoint(`e${i}`, ipv4))))
    assert.ok(kernel.dump().some(line => line.startsWith('link tsx-n1')))
    await Promise.all(all.map((_, i) => engine.deleteEndpoint(`e${i}`)))
    await engine.moved([])
    assert.deepEqual(kernel.dump(), before)
    assert.deepEqual(await world.settler.plan(), [])
  })
})

describe('peers whose hosts are the way to blocks of addresses', () => {
  const POOL = '10.90.0.0/16'
  const end = (node: number) => `10.9.0.${node + 7}`
  const blockOf = (node: number) => `10.90.${node}.0/26`
  const pod = (node: number, i: number): Remote => ({ ...remote(node * 256 + i), vtep: end(node) })
  const ways = (kernel: FakeKernel) => kernel.dump().filter(line => line.startsWith('route'))
  const some = <T>(all: (T | undefined)[]) => all.filter(each => each !== undefined)

  it('are a row each, however many endpoints they have', async () => {
    const { peers, engine, kernel, world } = await started({ mode: 'nodes' })
    await engine.createEndpoint(endpoint('e1', '10.90.200.2/16'))
    const rows = () => kernel.dump().filter(line => /^(route|fdb|neighbour)/.test(line)).length
    const alone = rows()
    const far = Array.from({ length: 100 }, (_, node) =>
      Array.from({ length: 40 }, (_, i) => pod(node, i + 2)),
    )
    await engine.moved(far.flat().map(each => peers.put('shop', each)))
    assert.equal(rows() - alone, 4200, 'without blocks')
    await engine.moved(far.flat().flatMap(each => peers.drop('shop', each.mac) ?? []))
    assert.equal(rows(), alone)
    const vteps = Array.from({ length: 100 }, (_, node) => [blockOf(node), end(node)] as const)
    await engine.moved(some([peers.setBlocks('shop', POOL, new Map(vteps))]))
    assert.equal(rows() - alone, 300)
    kernel.log.length = 0
    await engine.moved(far.flat().map(each => peers.put('shop', each)))
    await engine.moved(some([peers.drop('shop', pod(7, 7).mac)]))
    assert.deepEqual(kernel.log, [])
    assert.equal(rows() - alone, 300)
    assert.deepEqual(await world.settler.plan(), [])
  })

  it('go with their network, those too that need no link of its own', async () => {
    const { peers, engine, kernel, world } = await started({ mode: 'nodes' })
    const self = { ...(peers.self as Underlay), links: [{ name: 'eth0', prefix: '10.9.0.1/24' }] }
    peers.self = self
    kernel.world.foreign({ kind: 'link', name: 'eth0', type: 'veth', up: true })
    await engine.moved(some([peers.setBlocks('shop', POOL, new Map([[blockOf(1), end(1)]]))]))
    assert.deepEqual(ways(kernel), ['route 10.90.1.0/26 via 10.9.0.8 dev eth0 src 10.9.0.1'])
    await engine.deleteNetwork('n1')
    await world.settler.settle(nothing)
    assert.deepEqual(ways(kernel), [])
  })

  it('go with their network before anybody was heard in this life', async () => {
    const { peers, engine, kernel, world } = await started({ mode: 'nodes' })
    peers.self = { ...(peers.self as Underlay), links: [{ name: 'eth0', prefix: '10.9.0.1/24' }] }
    kernel.world.foreign({ kind: 'link', name: 'eth0', type: 'veth', up: true })
    await engine.moved(some([peers.setBlocks('shop', POOL, new Map([[blockOf(1), end(1)]]))]))
    const second = new World(new FakeKernel(kernel.world), world.store, new PeerTable(peers.self))
    await second.settler.settle('everything')
    assert.equal(ways(kernel).length, 1)
    await second.engine.deleteNetwork('n1')
    await until('no way to be left', () => ways(kernel).length === 0)
  })

  it('take the place of ways to each endpoint, and leave them again', async () => {
    const { peers, engine, kernel, world } = await started({ mode: 'nodes' })
    await engine.createEndpoint(endpoint('e1', '10.90.200.2/16'))
    await engine.moved([peers.put('shop', pod(1, 5)), peers.put('shop', pod(2, 6))])
    const each = ways(kernel)
    assert.equal(each.length, 2)
    const blocks = (...nodes: number[]) =>
      some([peers.setBlocks('shop', POOL, new Map(nodes.map(node => [blockOf(node), end(node)])))])
    await engine.moved(blocks(1))
    assert.deepEqual(ways(kernel), [
      'route 10.90.1.0/26 via 10.9.0.8 dev tsb-n1 src 10.9.0.1',
      'route 10.90.2.6/32 via 10.9.0.9 dev tsb-n1 src 10.9.0.1',
    ])
    assert.deepEqual(blocks(1), [], 'no news')
    await engine.moved(blocks())
    assert.deepEqual(ways(kernel), each)
    // Its host says that it is elsewhere now.
    await engine.moved(some([peers.setBlocks('shop', POOL, new Map([[blockOf(1), end(2)]]))]))
    assert.deepEqual(ways(kernel), [
      'route 10.90.1.0/26 via 10.9.0.9 dev tsb-n1 src 10.9.0.1',
      'route 10.90.1.5/32 via 10.9.0.8 dev tsb-n1 src 10.9.0.1',
      'route 10.90.2.6/32 via 10.9.0.9 dev tsb-n1 src 10.9.0.1',
    ])
    assert.deepEqual(await world.settler.plan(), [])
  })

  it('get nothing that is here, whoever owns the block, and whoever was first', async () => {
    const { peers, engine, kernel, world } = await started({ mode: 'nodes' })
    await engine.createEndpoint(endpoint('e1', '10.90.1.2/16'))
    await engine.moved(some([peers.setBlocks('shop', POOL, new Map([[blockOf(1), end(1)]]))]))
    await engine.createEndpoint(endpoint('e2', '10.90.1.3/16'))
    const block = 'route 10.90.1.0/26 via 10.9.0.8 dev tsb-n1 src 10.9.0.1'
    assert.deepEqual(ways(kernel), [block, 'route 10.90.1.2/32 dev tsb-n1', 'route 10.90.1.3/32 dev tsb-n1'])
    await engine.deleteEndpoint('e1')
    await engine.moved([])
    assert.deepEqual(ways(kernel), [block, 'route 10.90.1.3/32 dev tsb-n1'])
    await engine.moved(some([peers.setBlocks('shop', POOL, new Map())]))
    assert.deepEqual(ways(kernel), [])
    assert.deepEqual(await world.settler.plan(), [])
  })

  it('that are not known yet lose no way, and what is heard in part takes none away', async () => {
    const { peers, engine, kernel, world } = await started({ mode: 'nodes' })
    await engine.createEndpoint(endpoint('e1', '10.90.200.2/16'))
    const all = new Map([1, 2, 3].map(node => [blockOf(node), end(node)]))
    await engine.moved(some([peers.setBlocks('shop', POOL, all)]))
    await engine.moved([peers.put('shop', { ...pod(1, 5), vtep: end(2) })])
    const before = ways(kernel)
    assert.equal(before.length, 4)
    const young = new PeerTable(peers.self)
    const second = new World(new FakeKernel(kernel.world), world.store, young)
    await second.settler.settle('everything')
    const heard = (nodes: number[]) =>
      second.engine.moved(
        some([young.setBlocks('shop', POOL, new Map(nodes.map(node => [blockOf(node), end(node)])))]),
      )
    await heard([1])
    assert.deepEqual(ways(kernel), before)
    await heard([1, 2])
    young.setHeard()
    await second.settler.settle('everything')
    assert.deepEqual(ways(kernel), [
      'route 10.90.1.0/26 via 10.9.0.8 dev tsb-n1 src 10.9.0.1',
      'route 10.90.2.0/26 via 10.9.0.9 dev tsb-n1 src 10.9.0.1',
    ])
  })
})
