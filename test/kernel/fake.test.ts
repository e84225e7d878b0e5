import assert from 'node:assert/strict'
import type { AcceptRow } from '../../core/rows.ts'
import { FakeKernel, World } from '../../kernel/fake.ts'
import { suite } from './contract/index.ts'
import { lanSuite } from './contract/lan.ts'
import { bridge, port } from './contract/rows.ts'
import { adds } from './contract/subject.ts'

const possible = (['legacy', 'nft'] as const).flatMap(backend =>
  (['ipv4', 'ipv6'] as const).map((family): AcceptRow => ({ kind: 'accept', backend, family })),
)

const bed = async () => {
  const world = new World()
  const link = (name: string, type: 'bridge' | 'veth') =>
    world.foreign({ kind: 'link', name, type, up: true })
  return {
    open: async () => new FakeKernel(world),
    lose: async (name: string) => world.lose(name),
    flush: async () => world.flush(),
    foreignBridge: async (name: string) => link(name, 'bridge'),
    foreignVeth: async (name: string) => link(name, 'veth'),
    foreignAddress: async (link: string, address: string) =>
      void world.addresses.set(`address ${link} ${address}`, { link, address, ours: false }),
    hasLink: async (name: string) => world.links.has(name),
    container: async () => '/run/netns/container',
    neighbour: async (address: string) => {
      if (!world.links.has('lan0')) link('lan0', 'veth')
      world.neighboursOn.set(`lan0 ${address.replace(/\/.*/, '')}`, '02:00:00:00:00:99')
      return '02:00:00:00:00:99'
    },
    heard: async (address: string) => world.announced.get(`lan0 ${address}`),
    lacks: () => undefined,
    firewalls: async () => void world.possible.push(...possible),
    dispose: async () => {},
  }
}
suite('fake', bed)
lanSuite('fake', bed)

describe('fake kernel', () => {
  it('prints itself and what was done to it', async () => {
    const kernel = new FakeKernel()
    await kernel.apply(adds(bridge, port))
    assert.deepEqual(
      kernel.dump().filter(each => each.startsWith('link')),
      [
        'link tsb-1 type bridge address 02:00:00:00:00:00 mtu 1400 up',
        'link tsc-1 type veth address 02:42:0a:4d:00:02 mtu 1400 down',
        'link tsv-1 type veth master tsb-1 address 02:00:00:00:00:01 mtu 1400 hairpin up',
      ],
    )
    assert.deepEqual(kernel.log, [
      'add link tsb-1 type bridge mtu 1400 up (test)',
      'add link tsv-1 type veth peer tsc-1 master tsb-1 mtu 1400 hairpin up (test)',
    ])
  })

  it('rings when the world moves', async () => {
    const kernel = new FakeKernel()
    let rings = 0
    kernel.watch(() => rings++)
    kernel.world.flush()
    assert.equal(rings, 1)
    await kernel.close()
    kernel.world.flush()
    assert.equal(rings, 1)
  })
})
