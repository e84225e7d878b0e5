import assert from 'node:assert/strict'
import { Refused } from '../../core/errors.ts'
import type { Granted } from '../../core/records.ts'
import type { Dhcp } from '../../ipam/leased.ts'
import { memoryStore } from '../../store/memory.ts'
import { Bed } from './bed.ts'

/** A LAN whose server gives addresses in order, the same to the same MAC. */
class Lan implements Dhcp {
  router: string | undefined = '10.0.0.1'
  next = ['10.0.0.50', '10.0.0.51', '10.0.0.52']
  readonly granted = new Map<string, string>()

  async offer() {
    return { address: this.next[0] as string, ...(this.router && { router: this.router }) }
  }

  async lease(link: string, client: { mac: string; hostname?: string }, address?: string): Promise<Granted> {
    if (link !== 'eth0') throw new Refused(`no DHCP server answered on ${link} within 20 s`)
    const given = this.granted.get(client.mac) ?? address ?? (this.next.shift() as string)
    this.granted.set(client.mac, given)
    const times = { renew: 1, rebind: 2, expires: 3 }
    return { ...client, address: given, length: 24, server: '10.0.0.1', via: '02:00:00:00:00:01', ...times }
  }

  release(_: string, { mac, address }: Granted): void {
    if (this.granted.get(mac) === address) this.granted.delete(mac)
  }
}

const mac = (number: number) => `02:00:00:00:00:0${number}`
const endpoint = (number: number) => ({ 'com.docker.network.endpoint.macaddress': mac(number) })
const leased = { Options: { dhcp: 'eth0' } }
const refused = (message: RegExp) => ({ name: 'Refused', message })

describe('addresses of a LAN’s DHCP server', () => {
  let lan: Lan
  let bed: Bed

  beforeEach(async () => {
    lan = new Lan()
    bed = new Bed(memoryStore(), lan)
    await bed.register()
  })

  it('are leased for the container’s MAC, recorded, and given back', async () => {
    const { PoolID, ...answer } = await bed.pool('10.0.0.0/24', '', leased)
    assert.deepEqual(answer, {
      Pool: '10.0.0.0/24',
      Data: { 'com.docker.network.gateway': '10.0.0.1/24' },
    })
    assert.equal(await bed.address(PoolID, '', endpoint(1)), '10.0.0.50/24')
    assert.equal(bed.store.records.leases.get(`${PoolID}/10.0.0.50`)?.dhcp?.mac, mac(1))
    assert.equal(await bed.address(PoolID, '10.0.0.99', endpoint(2)), '10.0.0.99/24', '--ip')
    await bed.release(PoolID, '10.0.0.50')
    assert.deepEqual([...lan.granted], [[mac(2), '10.0.0.99']])
    await bed.call('ReleasePool', { PoolID })
    assert.equal(lan.granted.size + bed.store.records.leases.size, 0)
  })

  it('leave gateways, auxiliary and IPv6 addresses to the book', async () => {
    lan.router = undefined
    const { PoolID, ...answer } = await bed.pool('10.0.0.0/24', '', leased)
    assert.deepEqual(answer, { Pool: '10.0.0.0/24', Data: {} })
    assert.equal(await bed.gateway(PoolID, '10.0.0.254'), '10.0.0.254/24')
    assert.equal(await bed.address(PoolID, '10.0.0.9'), '10.0.0.9/24')
    const six = await bed.pool('fd00::/64', '', { ...leased, V6: true })
    assert.equal(await bed.address(six.PoolID, '', endpoint(1)), 'fd00::1/64')
    assert.equal(lan.granted.size, 0)
  })

  it('are confirmed to a dockerd that asks again, and to a container that comes back with its MAC', async () => {
    const { PoolID } = await bed.pool('10.0.0.0/24', '', leased)
    await bed.address(PoolID, '', endpoint(1))
    bed.restart()
    await bed.register()
    assert.equal((await bed.pool('10.0.0.0/24', '', leased)).PoolID, PoolID)
    assert.equal(await bed.address(PoolID, '10.0.0.50'), '10.0.0.50/24')
    assert.equal(await bed.address(PoolID, '', endpoint(1)), '10.0.0.50/24')
  })

  it('are refused where they make no sense', async () => {
    await assert.rejects(bed.pool('', '', leased), refused(/^ipam-opt dhcp=eth0 needs --subnet/))
    await assert.rejects(
      bed.pool('10.0.0.0/24', '10.0.0.0/25', leased),
      refused(/^--ip-range 10.0.0.0\/25 is/),
    )
    await assert.rejects(
      bed.pool('10.1.0.0/24', '', leased),
      refused(/^the DHCP server on eth0 gives 10.0.0.50, which is not inside subnet 10.1.0.0\/24$/),
    )
    await assert.rejects(bed.pool('10.0.0.0/24', '', { Options: { dhcp: '' } }), refused(/such as dhcp=eth0/))
    await assert.rejects(bed.pool('10.0.0.0/24', '', { Options: { dns: 'x' } }), refused(/tsnet takes dhcp$/))
    await assert.rejects(new Bed().pool('10.0.0.0/24', '', leased), refused(/TSNET_DHCP=on$/))
    assert.equal(bed.store.records.pools.size, 0)
    const { PoolID } = await bed.pool('10.0.0.0/24', '', leased)
    await assert.rejects(bed.address(PoolID), refused(/^Docker names no MAC/))
    await bed.address(PoolID, '10.0.0.51')
    lan.next = ['10.0.0.51', '10.9.0.1']
    await assert.rejects(
      bed.address(PoolID, '', endpoint(1)),
      refused(/gives 10.0.0.51, which is taken here$/),
    )
    await assert.rejects(bed.address(PoolID, '', endpoint(1)), refused(/10.9.0.1, which is not inside/))
    assert.equal(lan.granted.size, 0)
  })
})
