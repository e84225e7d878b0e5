import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Refused } from '../../core/errors.ts'
import type { EndpointSpec, NetworkSpec } from '../../core/faces.ts'
import type { PortRequest } from '../../core/records.ts'
import { FakeKernel } from '../../kernel/fake.ts'
import { World } from '../support/world.ts'

const net = (id: string, pool: string, more: Partial<NetworkSpec> = {}): NetworkSpec => ({
  id,
  words: {},
  internal: false,
  ipv4: [{ pool, gateway: pool.replace('.0/', '.1/'), aux: {} }],
  ipv6: [],
  enable: { ipv4: true, ipv6: false },
  ...more,
})

const endpoint = (id: string, ipv4: string, more: Partial<EndpointSpec> = {}): EndpointSpec => ({
  id,
  network: 'n1',
  ipv4,
  options: {},
  ports: [],
  ...more,
})

const tcp = (port: number, hostPort: number, hostPortEnd = hostPort, hostIp = ''): PortRequest => ({
  proto: 'tcp',
  port,
  hostIp,
  hostPort,
  hostPortEnd,
})

async function started(): Promise<World> {
  const world = new World()
  await world.settler.settle('everything')
  await world.engine.createNetwork(net('n1', '10.1.0.0/24'))
  return world
}

describe('engine', () => {
  it('a whole life leaves nothing', async () => {
    const world = new World()
    await world.settler.settle('everything')
    const before = world.kernel.dump()
    await world.engine.createNetwork(net('n1', '10.1.0.0/24'))
    assert.deepEqual(await world.engine.createEndpoint(endpoint('e1', '10.1.0.2/24')), {
      mac: '02:42:0a:01:00:02',
    })
    await world.engine.join('e1', '/run/netns/1')
    await world.engine.publish('e1', [tcp(80, 8080)])
    assert.ok(world.kernel.dump().includes('element any4 tcp . 8080 : 10.1.0.2 . 80'))
    await world.engine.leave('e1')
    await world.engine.deleteEndpoint('e1')
    await world.engine.deleteNetwork('n1')
    assert.deepEqual(world.kernel.dump(), before)
  })

  it('gives an address to the next endpoint when Docker forgot to take it from the last', async () => {
    const world = await started()
    await world.engine.createEndpoint(endpoint('e1', '10.1.0.2/24'))
    await world.engine.join('e1', '/run/netns/1')
    await world.engine.createEndpoint(endpoint('e2', '10.1.0.3/24'))
    await world.engine.createEndpoint(endpoint('e3', '10.1.0.2/24'))
    assert.deepEqual([...world.store.records.endpoints.keys()].sort(), ['e2', 'e3'])
    const links = world.kernel.dump().filter(line => line.startsWith('link tsv-'))
    assert.deepEqual(
      links.map(line => line.split(' ')[1]),
      ['tsv-e2', 'tsv-e3'],
    )
  })

  it('keeps a port from others as long as Docker keeps the sandbox, and no longer', async () => {
    const world = await started()
    for (const [id, address] of [
      ['e1', '10.1.0.2/24'],
      ['e2', '10.1.0.3/24'],
    ] as const) {
      await world.engine.createEndpoint(endpoint(id, address))
      await world.engine.join(id, `/run/netns/${id}`)
    }
    await world.engine.publish('e1', [tcp(80, 8080)])
    const publish = () => world.engine.publish('e2', [tcp(80, 8080)])
    world.unmounted.add('/run/netns/e1')
    await assert.rejects(publish(), Refused, 'a sandbox that is in the making is not mounted yet')
    world.now++
    world.engine.activated()
    world.unmounted.delete('/run/netns/e1')
    await assert.rejects(publish(), Refused, 'a sandbox that Docker restored')
    world.unmounted.add('/run/netns/e1')
    await publish()
    assert.deepEqual(world.engine.endpoint('e1')?.published, [])
    assert.ok(world.kernel.dump().includes('element any4 tcp . 8080 : 10.1.0.3 . 80'))
  })

  it('gives a port on when the link of its holder is gone and the bell has not rung yet', async () => {
    const world = await started()
    await world.engine.createEndpoint(endpoint('e1', '10.1.0.2/24'))
    await world.engine.createEndpoint(endpoint('e2', '10.1.0.3/24'))
    await world.engine.join('e1', '/run/netns/e1')
    await world.engine.publish('e1', [tcp(80, 8080)])
    world.kernel.world.lose('tsv-e1')
    await world.engine.publish('e2', [tcp(80, 8080)])
    assert.ok(world.kernel.dump().includes('element any4 tcp . 8080 : 10.1.0.3 . 80'))
  })

  it('asking twice is fine, asking for something else under the same id is refused', async () => {
    const world = await started()
    await world.engine.createNetwork(net('n1', '10.1.0.0/24'))
    await assert.rejects(world.engine.createNetwork(net('n1', '10.2.0.0/24')), Refused)
  })

  it('refuses a subnet that overlaps', async () => {
    const world = await started()
    await assert.rejects(world.engine.createNetwork(net('n2', '10.1.0.128/25')), {
      name: 'Refused',
      message: /subnet 10\.1\.0\.128\/25 overlaps with 10\.1\.0\.0\/24 of network n1/,
    })
  })

  it('refuses what it does not know', async () => {
    const { engine } = await started()
    await assert.rejects(engine.createEndpoint(endpoint('e1', '10.1.0.2/24', { network: 'nx' })), Refused)
    await assert.rejects(
      engine.createEndpoint(endpoint('e1', '10.1.0.2/24', { options: { colour: 'red' } })),
      {
        message: 'endpoint option "colour" is not known; mode bridge takes none',
      },
    )
    await assert.rejects(engine.join('e9', '/run/netns/1'), Refused)
    await assert.rejects(engine.publish('e9', []), Refused)
    await Promise.all([
      engine.leave('e9'),
      engine.unpublish('e9'),
      engine.deleteEndpoint('e9'),
      engine.deleteNetwork('n9'),
    ])
  })

  it('takes back a network that the kernel turned down', async () => {
    const world = await started()
    const before = world.kernel.dump()
    const spec = net('n2', '10.2.0.0/24', { words: { bridge: 'no/such' } })
    await assert.rejects(world.engine.createNetwork(spec))
    assert.equal(world.engine.network('n2'), undefined)
    assert.deepEqual(world.kernel.dump(), before)
  })

  it('uses a bridge that is there, and leaves it there', async () => {
    const world = await started()
    world.kernel.world.foreign({ kind: 'link', name: 'br0', type: 'bridge', up: true })
    const before = world.kernel.dump()
    await world.engine.createNetwork(net('n2', '10.2.0.0/24', { words: { bridge: 'br0' } }))
    assert.ok(world.kernel.dump().includes('address 10.2.0.1/24 dev br0'))
    await world.engine.deleteNetwork('n2')
    assert.ok(world.kernel.world.links.has('br0'))
    assert.deepEqual(world.kernel.dump(), before)
  })

  it('does without shortcuts where the kernel has none', async () => {
    const kernel = new FakeKernel()
    kernel.world.bpf = false
    const world = new World(kernel)
    await world.settler.settle('everything')
    await world.engine.createNetwork(net('n1', '10.1.0.0/24'))
    await world.engine.createEndpoint(endpoint('e1', '10.1.0.2/24'))
    assert.ok(!kernel.log.some(each => each.includes('shortcut')))
    assert.deepEqual(await world.settler.plan(), [])
  })

  it('refuses a second network on one bridge', async () => {
    const { engine } = await started()
    await engine.createNetwork(net('n2', '10.2.0.0/24', { words: { bridge: 'br0' } }))
    await assert.rejects(engine.createNetwork(net('n3', '10.3.0.0/24', { words: { bridge: 'br0' } })), {
      message: 'bridge br0 is the one of network n2; choose another name',
    })
  })

  describe('ports', () => {
    async function two(): Promise<World> {
      const world = await started()
      await world.engine.createEndpoint(endpoint('e1', '10.1.0.2/24'))
      await world.engine.createEndpoint(endpoint('e2', '10.1.0.3/24'))
      return world
    }
    const hostPorts = (world: World, id: string) =>
      world.engine.endpoint(id)?.published.map(each => each.hostPort)

    it('a taken port is refused, naming it, and nothing is held', async () => {
      const { engine, kernel } = await two()
      await engine.publish('e1', [tcp(80, 8080)])
      const before = kernel.dump()
      await assert.rejects(engine.publish('e2', [tcp(80, 9090), tcp(80, 8080)]), {
        name: 'Refused',
        message: 'port 8080/tcp at 0.0.0.0 is already taken',
      })
      assert.deepEqual(kernel.dump(), before)
      await engine.unpublish('e1')
      await engine.publish('e2', [tcp(80, 8080)])
    })

    it('a range gives its first free port', async () => {
      const world = await two()
      await world.engine.publish('e1', [tcp(80, 8000, 8001)])
      await world.engine.publish('e2', [tcp(80, 8000, 8001)])
      assert.deepEqual([hostPorts(world, 'e1'), hostPorts(world, 'e2')], [[8000], [8001]])
    })

    it('ephemeral ports run out with a sentence', async () => {
      const { engine } = await two()
      await engine.publish('e1', [tcp(1, 0), tcp(2, 0), tcp(3, 0), tcp(4, 0)])
      await assert.rejects(engine.publish('e2', [tcp(80, 0)]), {
        message: 'no ephemeral tcp port is free at 0.0.0.0',
      })
    })

    it('publishing again replaces what was published; the same again changes nothing', async () => {
      const world = await two()
      await world.engine.publish('e1', [tcp(80, 0)])
      const [first] = hostPorts(world, 'e1') ?? []
      await world.engine.publish('e1', [tcp(80, 0)])
      assert.deepEqual(hostPorts(world, 'e1'), [first])
      await world.engine.publish('e1', [tcp(80, 8080)])
      assert.deepEqual(hostPorts(world, 'e1'), [8080])
    })

    it('refuses an address of a family that the container lacks', async () => {
      const { engine } = await two()
      await assert.rejects(engine.publish('e1', [tcp(80, 8080, 8080, '::1')]), {
        message: "port 80/tcp can't be published at ::1: the container has no IPv6 address here",
      })
    })

    it('are free again when the container died and nobody told', async () => {
      const world = await two()
      await world.engine.join('e1', '/run/netns/1')
      await world.engine.publish('e1', [tcp(80, 8080)])
      world.kernel.world.lose('tsv-e1')
      const present = await world.kernel.read({ owned: true, rows: [] })
      await Promise.all(world.engine.abandoned(present))
      await world.engine.publish('e2', [tcp(80, 8080)])
      assert.deepEqual([hostPorts(world, 'e1'), hostPorts(world, 'e2')], [[], [8080]])
    })
  })

  it('a new daemon on the same records and kernel has nothing to do', async () => {
    const old = await started()
    await old.engine.createEndpoint(endpoint('e1', '10.1.0.2/24'))
    await old.engine.join('e1', '/run/netns/1')
    const next = new World(new FakeKernel(old.kernel.world), old.store)
    assert.deepEqual(await next.settler.plan(), [])
  })

  it('rebuilds everything after a reboot, but no sandbox that is gone', async () => {
    const old = await started()
    await old.engine.createEndpoint(endpoint('e1', '10.1.0.2/24'))
    await old.engine.join('e1', '/run/netns/1')
    // Writes keep their order: the join's record is there, too.
    await old.store.write([])
    const next = new World(new FakeKernel(), old.store)
    await next.settler.settle('everything')
    assert.ok(next.kernel.world.links.has('tsb-n1'))
    assert.ok(!next.kernel.world.links.has('tsv-e1'))
  })

  it('collects what Docker does not list, once it is old enough', async () => {
    const world = await started()
    await world.engine.createEndpoint(endpoint('e1', '10.1.0.2/24'))
    const listed = { networks: new Set(['n1']), endpoints: new Set<string>() }
    assert.deepEqual(await world.engine.collect(listed, 1000), [])
    world.now += 2000
    assert.deepEqual(await world.engine.collect(listed, 1000), ['endpoint e1'])
    assert.ok(!world.kernel.world.links.has('tsv-e1'))
  })

  it('any order of requests ends with the kernel as the records say', async () => {
    const id = fc.constantFrom('e1', 'e2', 'e3')
    const call = fc.oneof(
      id.map(e => (w: World) => w.engine.createEndpoint(endpoint(e, `10.1.0.${e.slice(1)}1/24`))),
      id.map(e => (w: World) => w.engine.join(e, '/run/netns/1')),
      fc.tuple(id, fc.integer({ min: 0, max: 1 })).map(
        ([e, p]) =>
          (w: World) =>
            w.engine.publish(e, [tcp(80, p * 8080)]),
      ),
      id.map(e => (w: World) => w.engine.leave(e)),
      id.map(e => (w: World) => w.engine.deleteEndpoint(e)),
      id.map(e => async (w: World) => w.kernel.world.lose(`tsv-${e}`)),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 30 }), async calls => {
        const world = await started()
        await Promise.allSettled(calls.map(each => each(world)))
        await world.settler.settle('everything')
        assert.deepEqual(await world.settler.plan(), [])
        const links = [...world.kernel.world.links.keys()].filter(name => name.startsWith('tsv-'))
        for (const link of links) assert.ok(world.engine.endpoint(link.slice(4)), `${link} has no record`)
      }),
    )
  })
})
