import assert from 'node:assert/strict'
import { StepError } from '../../core/errors.ts'
import type { AttachmentSpec } from '../../core/faces.ts'
import { World } from '../support/world.ts'

const tcp = { proto: 'tcp', port: 80, hostIp: '', hostPort: 8080, hostPortEnd: 8080 } as const

const spec = (id: string, address: number, more: Partial<AttachmentSpec> = {}): AttachmentSpec => ({
  id,
  network: 'n1',
  ipv4: `10.1.0.${address}/24`,
  options: {},
  ports: [],
  attachment: {
    conflist: 'pods',
    container: id,
    ifname: 'eth0',
    namespace: `/run/netns/${id}`,
    inode: 1,
    routes: [],
  },
  ...more,
})

async function started(): Promise<World> {
  const world = new World()
  await world.settler.settle('everything')
  const subnet = { pool: '10.1.0.0/24', gateway: '10.1.0.1/24', aux: {} }
  const enable = { ipv4: true, ipv6: false }
  await world.engine.createNetwork({
    ...{ id: 'n1', words: {}, internal: false, ipv4: [subnet], ipv6: [], enable, conflist: 'pods' },
  })
  return world
}

describe('attachments', () => {
  it('are born inside, with addresses and routes, and leave nothing', async () => {
    const world = await started()
    const before = world.kernel.dump()
    const { mac, inside } = await world.engine.attach(spec('c1', 2, { ports: [tcp] }))
    assert.deepEqual(inside.routes, [{ to: '0.0.0.0/0', via: '10.1.0.1' }])
    assert.deepEqual(await world.kernel.look('/run/netns/c1', 'eth0'), {
      ...{ mac, mtu: 1500, up: true, addresses: ['10.1.0.2/24'], routes: inside.routes },
    })
    assert.deepEqual(await world.engine.drift('c1'), [])
    await world.engine.detach('c1')
    await world.settler.settle('everything')
    assert.deepEqual(world.kernel.dump(), before)
    assert.equal(await world.kernel.look('/run/netns/c1', 'eth0'), undefined)
  })

  it('are born while everything is looked at', async () => {
    const world = await started()
    const look = world.kernel.read.bind(world.kernel)
    const during = Promise.withResolvers<void>()
    world.kernel.read = scope => during.promise.then(() => look(scope))
    // While that run lasts, both are asked for the next one.
    const run = world.settler.settle('everything')
    const attached = world.engine.attach(spec('c1', 2))
    await new Promise(setImmediate)
    const next = world.settler.settle('everything')
    during.resolve()
    const [{ mac }] = await Promise.all([attached, run, next])
    assert.equal((await world.kernel.look('/run/netns/c1', 'eth0'))?.mac, mac)
    assert.deepEqual(await world.engine.drift('c1'), [])
  })

  it('that the container has no room for leave neither record nor port', async () => {
    const world = await started()
    await world.engine.attach(spec('c1', 2))
    const taken = spec('c2', 3, { ports: [tcp], attachment: spec('c1', 3).attachment })
    await assert.rejects(
      world.engine.attach(taken),
      (error: unknown) => error instanceof StepError && error.code === 'EEXIST',
    )
    assert.equal(world.engine.endpoint('c2'), undefined)
    await world.engine.attach(spec('c3', 4, { ports: [tcp] }))
  })

  it('give a port to the next one at once', async () => {
    const world = await started()
    for (let i = 0; i < 5; i++) {
      await world.engine.attach(spec(`c${i}`, 2 + i, { ports: [tcp] }))
      await world.engine.detach(`c${i}`)
    }
  })

  it('are not made again once their link is gone, and are told of', async () => {
    const world = await started()
    await world.engine.attach(spec('c1', 2))
    const link = world.kernel
      .dump()
      .find(each => each.startsWith('link tsv-'))
      ?.split(' ')[1] as string
    assert.deepEqual(await world.engine.severed(), [])
    world.kernel.world.lose(link)
    await world.settler.settle('everything')
    assert.deepEqual(
      (await world.engine.severed()).map(({ id }) => id),
      ['c1'],
    )
    assert.match((await world.engine.drift('c1')).join(), /the container has no eth0/)
  })

  it('and their networks are none of what Docker forgot', async () => {
    const world = await started()
    await world.engine.attach(spec('c1', 2))
    world.now += 1e9
    assert.deepEqual(await world.engine.collect({ networks: new Set(), endpoints: new Set() }, 0), [])
  })
})
