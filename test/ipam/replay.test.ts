import assert from 'node:assert/strict'
import type { Change } from '../../core/records.ts'
import { Bed } from './bed.ts'

const taken = { name: 'Refused', message: /is taken/ }
const overlap = { name: 'Refused', message: /overlaps/ }

describe('replay of dockerd', () => {
  const network = async (bed: Bed, range = '') => {
    const { PoolID } = await bed.pool('10.0.0.0/24', range)
    await bed.gateway(PoolID, '10.0.0.1')
    await bed.address(PoolID, '10.0.0.9')
    return PoolID
  }

  it('gets the same pool and addresses, after either of the two was restarted', async () => {
    for (const tsnetToo of [false, true]) {
      const bed = new Bed()
      await bed.register()
      const PoolID = await network(bed, '10.0.0.128/25')
      const container = await bed.address(PoolID)
      const { pools, leases } = structuredClone(bed.store.records)
      bed.now += 3_600_000
      if (tsnetToo) bed.restart()
      await bed.register()
      assert.equal(await network(bed, '10.0.0.128/25'), PoolID)
      assert.equal(await bed.address(PoolID, container.replace('/24', '')), container)
      assert.deepEqual(
        { pools: bed.store.records.pools, leases: bed.store.records.leases },
        { pools, leases },
      )
    }
  })

  it('confirms each thing once', async () => {
    const bed = new Bed()
    await network(bed)
    await bed.register()
    const PoolID = await network(bed)
    await assert.rejects(bed.pool('10.0.0.0/24'), overlap)
    await assert.rejects(bed.gateway(PoolID, '10.0.0.1'), taken)
    await assert.rejects(bed.address(PoolID, '10.0.0.9'), taken)
  })

  it('does not come without a registration', async () => {
    const bed = new Bed()
    const PoolID = await network(bed)
    bed.restart()
    await assert.rejects(bed.pool('10.0.0.0/24'), overlap)
    await assert.rejects(bed.address(PoolID, '10.0.0.9'), taken)
  })

  it('does not reach into a pool that was not replayed', async () => {
    const bed = new Bed()
    const PoolID = await network(bed)
    await bed.register()
    await assert.rejects(bed.address(PoolID, '10.0.0.9'), taken)
  })

  it('is over after a minute', async () => {
    const bed = new Bed()
    const PoolID = await network(bed)
    await bed.register()
    bed.now += 61_000
    await assert.rejects(bed.pool('10.0.0.0/24'), overlap)
    await assert.rejects(bed.address(PoolID, '10.0.0.9'), taken)
  })

  it('never hands out by itself what it has not confirmed', async () => {
    const bed = new Bed()
    const PoolID = await network(bed)
    await bed.register()
    await bed.pool('10.0.0.0/24')
    const given = await Promise.all(Array.from({ length: 252 }, () => bed.address(PoolID)))
    assert.ok(!given.includes('10.0.0.9/24') && !given.includes('10.0.0.1/24'))
  })
})

const network: Change = {
  table: 'network',
  id: 'n',
  value: {
    id: 'n',
    mode: 'bridge',
    options: {},
    internal: false,
    ipv4: [{ pool: '10.0.0.0/24', gateway: '10.0.0.1/24', aux: { a: '10.0.0.5/24' } }],
    ipv6: [],
    created: 0,
  },
}

const endpoint = (ipv4: string): Change => ({
  table: 'endpoint',
  id: 'e',
  value: { id: 'e', network: 'n', ipv4, mac: '', options: {}, ports: [], published: [], created: 0 },
})

describe('what dockerd forgot', () => {
  const minute = 60_000

  it('is taken back when it is old and nobody names it', async () => {
    const bed = new Bed()
    const { PoolID } = await bed.pool('10.0.0.0/24')
    await bed.gateway(PoolID)
    await bed.address(PoolID, '10.0.0.9')
    await bed.address(PoolID, '10.0.0.10')
    bed.now += 2 * minute
    await bed.address(PoolID, '10.0.0.11')
    const used = new Map([[PoolID, new Set(['10.0.0.9'])]])
    assert.deepEqual(await bed.ipam.reclaim(used, minute, bed.now), [`${PoolID}/10.0.0.10`])
    assert.equal(await bed.address(PoolID, '10.0.0.10'), '10.0.0.10/24')
    for (const address of ['10.0.0.1', '10.0.0.9', '10.0.0.11'])
      await assert.rejects(bed.address(PoolID, address), taken)
  })

  it('is a whole pool when Docker has no such network', async () => {
    const bed = new Bed()
    const { PoolID } = await bed.pool('10.0.0.0/24')
    await bed.gateway(PoolID)
    assert.deepEqual(await bed.ipam.reclaim(new Map(), minute, bed.now), [], 'it may be being made')
    bed.now += 2 * minute
    assert.deepEqual(await bed.ipam.reclaim(new Map(), minute, bed.now), [PoolID, `${PoolID}/10.0.0.1`])
    assert.equal(bed.store.records.pools.size + bed.store.records.leases.size, 0)
    await bed.pool('10.0.0.0/16')
  })

  it('is not what our own records name', async () => {
    const bed = new Bed()
    const { PoolID } = await bed.pool('10.0.0.0/24')
    await bed.gateway(PoolID)
    await bed.address(PoolID, '10.0.0.5')
    const container = await bed.address(PoolID)
    await bed.store.write([network, endpoint(container)])
    bed.now += 2 * minute
    assert.deepEqual(await bed.ipam.reclaim(new Map(), minute, bed.now), [])
  })

  it('is never in the book of Swarm’s leader', async () => {
    const bed = new Bed()
    const { PoolID } = await bed.pool('10.0.0.0/24', '', { AddressSpace: 'tsnet-global' })
    await bed.address(PoolID)
    bed.now += 2 * minute
    assert.deepEqual(await bed.ipam.reclaim(new Map(), minute, bed.now), [])
  })
})
