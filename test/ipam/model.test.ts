import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Bed } from './bed.ts'

const subnets = ['10.0.0.0/29', '10.1.0.0/29', '10.0.0.0/24', 'fd00::/125'] as const
const hosts = [1, 2, 3, 4, 5, 6]

const subnet = fc.constantFrom(...subnets)
const step = fc.oneof(
  { weight: 2, arbitrary: fc.record({ verb: fc.constant('pool' as const), subnet }) },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('dropPool' as const), subnet }) },
  { weight: 8, arbitrary: fc.record({ verb: fc.constant('next' as const), subnet }) },
  {
    weight: 3,
    arbitrary: fc.record({
      verb: fc.constantFrom('claim' as const, 'release' as const),
      subnet,
      host: fc.constantFrom(...hosts),
    }),
  },
  { weight: 1, arbitrary: fc.record({ verb: fc.constantFrom('restart' as const, 'register' as const) }) },
)

/** What everybody believes to have: by subnet, the addresses. */
type Model = Map<string, Set<string>>

const id = (subnet: string) => `local/${subnet.includes(':') ? 'ipv6' : 'ipv4'}/${subnet}`
const address = (subnet: string, host: number) => subnet.replace(/0?\/.*/, `${host}`)
const overlapping = (model: Model, subnet: string) =>
  [...model.keys()].some(
    other => other === subnet || (other.startsWith('10.0.') && subnet.startsWith('10.0.')),
  )

describe('address book', () => {
  it('never gives an address twice, forgets none and keeps none, whatever happens', () =>
    fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), async steps => {
        const bed = new Bed()
        const model: Model = new Map()
        for (const one of steps) {
          if ('subnet' in one) await ask(bed, model, one)
          else await disturb(bed, one.verb)
          assert.deepEqual(recorded(bed), believed(model))
        }
      }),
      { numRuns: 60 },
    )).timeout(60_000)
})

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** One of the two daemons comes back. dockerd replays nothing: what it doesn't ask for stays as it is. */
async function disturb(bed: Bed, verb: 'restart' | 'register'): Promise<void> {
  if (verb === 'restart') return bed.restart()
  await bed.register()
  bed.now += 61_000
}

async function ask(bed: Bed, model: Model, one: Extract<Step, { subnet: string }>): Promise<void> {
  const { subnet } = one
  const addresses = model.get(subnet)
  if (one.verb === 'pool') {
    if (overlapping(model, subnet)) await assert.rejects(bed.pool(subnet), /overlaps/)
    else model.set((await bed.pool(subnet)).Pool, new Set())
  } else if (one.verb === 'dropPool') {
    await bed.call('ReleasePool', { PoolID: id(subnet) })
    model.delete(subnet)
  } else if (!addresses) {
    if (one.verb !== 'release') await assert.rejects(bed.address(id(subnet)), /unknown/)
  } else if (one.verb === 'next') {
    await next(bed, subnet, addresses)
  } else if (one.verb === 'claim') {
    const wanted = address(subnet, one.host)
    if (addresses.has(wanted)) await assert.rejects(bed.address(id(subnet), wanted), /taken/)
    else addresses.add((await bed.address(id(subnet), wanted)).replace(/\/.*/, ''))
  } else {
    await bed.release(id(subnet), address(subnet, one.host))
    addresses.delete(address(subnet, one.host))
  }
}

async function next(bed: Bed, subnet: string, addresses: Set<string>): Promise<void> {
  const room = subnet.endsWith('/24') ? 254 : subnet.includes(':') ? 7 : 6
  if (addresses.size === room) {
    await assert.rejects(bed.address(id(subnet)), /no address is free/)
    return
  }
  const given = (await bed.address(id(subnet))).replace(/\/.*/, '')
  assert.ok(!addresses.has(given), `${given} is taken`)
  addresses.add(given)
}

const recorded = (bed: Bed) => [
  [...bed.store.records.pools.keys()].sort(),
  [...bed.store.records.leases.keys()].sort(),
]

const believed = (model: Model) => [
  [...model.keys()].map(id).sort(),
  [...model].flatMap(([subnet, addresses]) => [...addresses].map(one => `${id(subnet)}/${one}`)).sort(),
]
