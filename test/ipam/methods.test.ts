import assert from 'node:assert/strict'
import type { Store } from '../../core/faces.ts'
import { ipamMethods } from '../../ipam/methods.ts'
import { memoryStore } from '../../store/memory.ts'
import { Bed } from './bed.ts'

const taken = { name: 'Refused', message: /is taken/ }
const overlap = { name: 'Refused', message: /overlaps/ }

describe('IPAM driver', () => {
  it('speaks as the wire examples of the protocol do', async () => {
    const bed = new Bed()
    await bed.register()
    assert.deepEqual(await bed.call('GetDefaultAddressSpaces'), {
      LocalDefaultAddressSpace: 'tsnet-local',
      GlobalDefaultAddressSpace: 'tsnet-global',
    })
    const PoolID = 'local/ipv4/10.31.0.0/24/10.31.0.128/25'
    assert.deepEqual(
      await bed.call('RequestPool', {
        AddressSpace: 'tsnet-local',
        Pool: '10.31.0.0/24',
        SubPool: '10.31.0.128/25',
        Options: {},
        V6: false,
      }),
      { PoolID, Pool: '10.31.0.0/24', Data: {} },
    )
    const Options = { RequestAddressType: 'com.docker.network.gateway' }
    assert.deepEqual(await bed.call('RequestAddress', { PoolID, Address: '', Options }), {
      Address: '10.31.0.129/24',
      Data: {},
    })
    assert.equal(await bed.address(PoolID, '10.31.0.5'), '10.31.0.5/24', 'an aux address, outside the range')
    assert.equal(await bed.address(PoolID), '10.31.0.130/24')
    assert.equal(
      await bed.address(PoolID, '', { 'com.docker.network.endpoint.name': 'c1' }),
      '10.31.0.131/24',
    )
    for (const address of ['10.31.0.130', '10.31.0.131', '10.31.0.129', '10.31.0.5']) {
      assert.equal(await bed.release(PoolID, address), undefined)
    }
    assert.equal(await bed.call('ReleasePool', { PoolID }), undefined)
    assert.equal(bed.store.records.pools.size + bed.store.records.leases.size, 0)
  })

  it('has every method of the protocol, and looks at the body of those with arguments only', () => {
    const table = ipamMethods(new Bed().ipam)
    const shaped = Object.entries(table).map(([name, { shape }]) => [
      name.split('.')[1],
      shape?.safeParse(undefined).success,
    ])
    assert.deepEqual(Object.fromEntries(shaped), {
      GetCapabilities: undefined,
      GetDefaultAddressSpaces: undefined,
      RequestPool: false,
      ReleasePool: false,
      RequestAddress: false,
      ReleaseAddress: false,
    })
  })

  it('records what it granted before it answers', async () => {
    const bed = new Bed()
    const { PoolID } = await bed.pool('10.0.0.0/24')
    await bed.gateway(PoolID)
    await bed.address(PoolID)
    assert.deepEqual(bed.store.records.pools.get(PoolID), { id: PoolID, space: 'local', pool: '10.0.0.0/24' })
    assert.deepEqual(
      [...bed.store.records.leases.values()],
      [
        { id: `${PoolID}/10.0.0.1`, pool: PoolID, address: '10.0.0.1', gateway: true, created: bed.now },
        { id: `${PoolID}/10.0.0.2`, pool: PoolID, address: '10.0.0.2', gateway: false, created: bed.now },
      ],
    )
  })

  it('gives IPv6 and both families', async () => {
    const bed = new Bed()
    const v4 = await bed.pool('10.0.0.0/24')
    const v6 = await bed.pool('fd00:1::/64', '', { V6: true })
    assert.equal(await bed.gateway(v6.PoolID), 'fd00:1::1/64')
    assert.equal(await bed.address(v4.PoolID), '10.0.0.1/24')
    assert.equal(await bed.address(v6.PoolID), 'fd00:1::2/64')
    assert.match((await bed.pool('', '', { V6: true })).Pool, /^fd.*::\/64$/)
    assert.equal((await bed.pool('fd00:2::/64')).Pool, 'fd00:2::/64', 'Swarm leaves V6 out')
  })

  it('answers every empty request with another pool, and in the end with an error', async () => {
    const bed = new Bed()
    bed.routes = ['172.16.0.0/12', '192.168.0.0/18']
    const pools = new Set<string>()
    await assert.rejects(async () => {
      for (let n = 0; n < 1000; n++) pools.add((await bed.pool()).Pool)
    }, /no default IPv4 pool is free .* give one with --subnet/)
    assert.equal(pools.size, 12)
  })

  it('keeps two books', async () => {
    const bed = new Bed()
    const local = await bed.pool('10.40.0.0/24')
    const global = await bed.pool('10.40.0.0/24', '', { AddressSpace: 'tsnet-global' })
    assert.notEqual(local.PoolID, global.PoolID)
    assert.equal(await bed.address(local.PoolID, '10.40.0.7'), '10.40.0.7/24')
    assert.equal(await bed.address(global.PoolID, '10.40.0.7'), '10.40.0.7/24')
    await bed.release(global.PoolID, '10.40.0.7')
    await assert.rejects(bed.address(local.PoolID, '10.40.0.7'), taken)
  })

  it('refuses what overlaps, what is taken and what makes no sense', async () => {
    const bed = new Bed()
    const { PoolID } = await bed.pool('10.0.0.0/29')
    await assert.rejects(bed.pool('10.0.0.0/29'), overlap)
    await assert.rejects(bed.pool('10.0.0.0/29', '10.0.0.0/30'), overlap)
    await assert.rejects(bed.pool('10.0.0.0/8'), overlap)
    await assert.rejects(bed.pool('', '10.0.0.0/30'), /needs a subnet/)
    await assert.rejects(bed.pool('10.9.0.0/24', '', { Options: { colour: 'red' } }), /"colour" is unknown/)
    await bed.pool('10.9.0.0/24', '', { Options: { 'com.docker.network.ipam.serial': 'true' } })
    await assert.rejects(bed.pool('10.8.0.0/24', '', { AddressSpace: 'other' }))
    await bed.address(PoolID, '10.0.0.3')
    await assert.rejects(bed.address(PoolID, '10.0.0.3'), taken)
    await assert.rejects(bed.address(PoolID, '10.0.0.0'), /broadcast/)
    await assert.rejects(bed.address(PoolID, '10.0.0.7'), /broadcast/)
    await assert.rejects(bed.address(PoolID, '10.0.0.8'), /not inside subnet 10.0.0.0\/29/)
    await assert.rejects(bed.address(PoolID, 'fd00::1'), /not inside/)
    await assert.rejects(bed.address(PoolID, 'next'), /"next" is none/)
    await assert.rejects(bed.address('local/ipv4/10.77.0.0/16'), /is unknown/)
    for (let n = 0; n < 5; n++) await bed.address(PoolID)
    await assert.rejects(bed.address(PoolID), /no address is free in 10.0.0.0\/29/)
  })

  it('takes every release, and gives what was released again', async () => {
    const bed = new Bed()
    await bed.call('ReleasePool', { PoolID: 'unknown' })
    await bed.release('unknown', '10.0.0.1')
    const { PoolID } = await bed.pool('10.0.0.0/30')
    for (const address of ['10.0.0.1', '10.9.9.9', 'fd00::1', 'nonsense', ''])
      await bed.release(PoolID, address)
    const addresses = [await bed.address(PoolID), await bed.address(PoolID)]
    await bed.release(PoolID, '10.0.0.1')
    await bed.release(PoolID, '10.0.0.1')
    assert.deepEqual([...addresses, await bed.address(PoolID)], ['10.0.0.1/30', '10.0.0.2/30', '10.0.0.1/30'])
  })

  it('drops all addresses with their pool, as dockerd’s rollback needs it', async () => {
    const bed = new Bed()
    const { PoolID } = await bed.pool('10.0.0.0/24')
    await bed.gateway(PoolID)
    await bed.address(PoolID, '10.0.0.9')
    await bed.call('ReleasePool', { PoolID })
    assert.equal(bed.store.records.leases.size, 0)
    assert.deepEqual(await bed.pool('10.0.0.0/24').then(() => bed.gateway(PoolID)), '10.0.0.1/24')
  })

  it('gives 200 at the same time 200 different addresses, each recorded', async () => {
    const bed = new Bed()
    const { PoolID } = await bed.pool('10.0.0.0/24')
    const given = await Promise.all(
      Array.from({ length: 200 }, async () => {
        const address = (await bed.address(PoolID)).replace('/24', '')
        assert.ok(bed.store.records.leases.has(`${PoolID}/${address}`), 'on disk before the answer')
        return address
      }),
    )
    assert.equal(new Set(given).size, 200)
  })

  it('takes nothing when the record can not be written', async () => {
    let broken = false
    const memory = memoryStore()
    const store: Store = {
      records: memory.records,
      close: () => memory.close(),
      write: async changes => {
        await new Promise(setImmediate)
        if (broken) throw new Error('disk full')
        await memory.write(changes)
      },
    }
    const bed = new Bed(store)
    const { PoolID } = await bed.pool('10.0.0.0/29')
    await bed.address(PoolID)
    broken = true
    await assert.rejects(bed.pool('10.1.0.0/24'), /disk full/)
    await assert.rejects(bed.address(PoolID, '10.0.0.4'), /disk full/)
    await assert.rejects(bed.release(PoolID, '10.0.0.1'), /disk full/)
    await assert.rejects(bed.call('ReleasePool', { PoolID }), /disk full/)
    broken = false
    await bed.pool('10.1.0.0/24')
    assert.equal(await bed.address(PoolID, '10.0.0.4'), '10.0.0.4/29')
    await assert.rejects(bed.address(PoolID, '10.0.0.1'), taken)
  })
})
