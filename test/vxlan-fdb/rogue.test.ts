import assert from 'node:assert/strict'
import fc from 'fast-check'
import { varint } from '../../vxlan-fdb/codec.ts'
import { type Entry, endpointOf, forwarding, kinds, writeEndpoint } from '../../vxlan-fdb/index.ts'
import { write } from '../../vxlan-fdb/message.ts'
import { endpoint, withdrawn } from './entries.ts'
import { equal, type Node, World } from './world.ts'

/** Four that are honest, and one more that has the gossip key and a signing key of its own. */
const HONEST = 4

const host = fc.nat(HONEST - 1)
const act = fc.oneof(
  { weight: 4, arbitrary: fc.record({ what: fc.constant('steal' as const), host, number: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constant('loose' as const), host, number: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constant('order' as const), host, number: fc.nat(3) }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constant('restart' as const), host, number: fc.nat(3000) }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('part' as const), host, number: fc.nat(4000) }) },
)

/** A claim to what an endpoint of somebody else has: to all of it, to its MAC or to its address alone. */
function stolen(from: Entry, how: number): Entry {
  const { mac, ip4 } = endpointOf(from.value) ?? assert.fail()
  const other = endpointOf(endpoint(200, how).value) ?? assert.fail()
  const value = [
    { mac, ip4, ip6: undefined, blockEpoch: 9 },
    { mac, ip4: other.ip4, ip6: undefined, blockEpoch: 9 },
    { mac: other.mac, ip4, ip6: undefined, blockEpoch: 9 },
  ][how]
  return { ...from, key: `stolen ${from.key} ${how}`, value: writeEndpoint(value ?? assert.fail()) }
}

const order = (node: Node, height: number): Entry => ({
  network: '',
  kind: kinds.fence,
  key: node.id,
  value: write(varint, height),
})

/** Nobody has blocks here: who was first stays. */
function trial(seed: number): { world: World; honest: Node[]; rogue: Node } {
  const world = new World(HONEST + 1, seed, { loss: 0.05, doubled: 0.05 }, { rank: () => 0 })
  for (const node of world.nodes) world.start(node)
  world.run(2000)
  const honest = world.nodes.slice(0, HONEST)
  for (const [number, node] of honest.entries())
    world.say(
      node,
      [0, 1, 2].map(each => endpoint(number, each)),
    )
  world.run(4000)
  return { world, honest, rogue: world.nodes[HONEST] as Node }
}

/** Where each of them sends the frames of the honest ones' endpoints, as they should be sent. */
function unharmed(honest: readonly Node[]): void {
  for (const { table, up } of honest)
    for (const [number, { id }] of honest.entries()) {
      if (!up) continue
      const lines = forwarding(table, 'shop').filter(({ origin }) => origin === id)
      const told = lines.map(({ mac, ips }) => `${mac.toString('hex')} ${ips.map(ip => ip.join('.'))}`)
      const wanted = [0, 1, 2].map(each => `02420a${hex(number)}00${hex(each)} 10.${number}.0.${each}`)
      assert.deepEqual(told.sort(), wanted)
    }
}

const hex = (number: number) => number.toString(16).padStart(2, '0')

describe('a rogue that has the gossip key', () => {
  it('takes no MAC and no address from anybody, and nobody falls by its order', () =>
    fc.assert(
      fc.property(fc.nat(), fc.array(act, { minLength: 1, maxLength: 12 }), (seed, acts) => {
        const { world, honest, rogue } = trial(seed)
        for (const { what, host, number } of acts) {
          const victim = honest[host] as Node
          const [mine = assert.fail()] = [...victim.says.values()]
          if (what === 'steal') world.say(rogue, [stolen(mine, number)])
          if (what === 'loose') world.say(rogue, [withdrawn(stolen(mine, number))])
          if (what === 'order') world.say(rogue, [order(victim, [1, 2, 1000, 2 ** 52][number] ?? 1)])
          if (what === 'restart') {
            world.crash(victim)
            world.run(world.now + number)
            world.restart(victim)
          }
          if (what === 'part') {
            rogue.part = 1
            world.run(world.now + number)
            rogue.part = 0
          }
          world.run(world.now + 4000)
          unharmed(honest)
        }
        assert.notEqual(
          world.until(() => equal(world), 20_000),
          undefined,
          'equal in the end',
        )
        for (const { log } of honest) assert.ok(log.every(({ type }) => type !== 'fenced'))
      }),
      { numRuns: Number(process.env.FDB_RUNS ?? 40) },
    )).timeout(120_000)

  it('is named beside the one that keeps the address, and forgotten with its claim', () => {
    const { world, honest, rogue } = trial(1)
    const [victim, other] = honest as [Node, Node]
    const [mine = assert.fail()] = [...victim.says.values()]
    world.say(rogue, [stolen(mine, 0)])
    world.run(world.now + 3000)
    const conflicts = other.log.flatMap(each => (each.type === 'conflict' ? [each] : []))
    assert.deepEqual(
      conflicts.map(({ conflict }) => [
        conflict?.winner.origin,
        conflict?.losers.map(({ origin }) => origin),
      ]),
      [
        [victim.id, [rogue.id]],
        [victim.id, [rogue.id]],
      ],
    )
    world.say(victim, [withdrawn(mine)])
    world.run(world.now + 3000)
    const lines = forwarding(other.table, 'shop').filter(({ origin }) => origin === rogue.id)
    assert.equal(lines.length, 1, 'what its holder has given up is free')
  })

  it('can’t have a host forgotten that answers; one that is away falls for good, by whoever says so', () => {
    const { world, honest, rogue } = trial(2)
    const [victim, away, third] = honest as [Node, Node, Node]
    world.say(rogue, [order(victim, 1)])
    world.run(world.now + 10_000)
    assert.deepEqual(
      victim.log.flatMap(each => (each.type === 'defied' ? [[each.fence, each.by]] : [])),
      [[1, rogue.id]],
    )
    world.crash(away)
    world.say(rogue, [order(away, 1)])
    world.run(world.now + 4000)
    assert.equal(third.disk.fences.get(away.id), undefined, 'not yet')
    world.run(world.now + 4000)
    assert.deepEqual([third.disk.fences.get(away.id), third.table.heirs.get(away.id)], [1, rogue.id])
  })
})
