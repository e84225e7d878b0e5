import assert from 'node:assert/strict'
import { line } from '../../../core/lines.ts'
import type { PortRow, Row } from '../../../core/rows.ts'
import { bridge, gateway, gateway6, localnet, port, rate, shortcut } from './rows.ts'
import { adds, codes, type Subject, step } from './subject.ts'

/** Addresses, sysctls, routes, bound ports, shortcuts and rates. */
export function host(s: Subject): void {
  describe('addresses and sysctls', () => {
    it('sets both families', async () => {
      await s.add(bridge, gateway, gateway6, localnet)
      await s.assertPresent(gateway, gateway6, localnet)
      assert.deepEqual(await s.apply(step('delete', gateway), step('delete', gateway6)), ['ok', 'ok'])
      await s.assertAbsent(gateway, gateway6)
      assert.deepEqual(await s.apply(step('delete', gateway)), ['ok'])
    })

    it('names the errno', async () => {
      await s.add(bridge, gateway)
      const elsewhere = { ...gateway, link: 'tsb-9' } as Row
      const bad = { ...gateway, address: '10.77.0.300/24' } as Row
      assert.deepEqual(await s.apply(...adds(gateway, elsewhere, bad)), ['EEXIST', 'ENODEV', 'EINVAL'])
      const nowhere: Row = { kind: 'sysctl', key: 'net/ipv4/conf/tsb-9/route_localnet', value: '1' }
      assert.deepEqual(await s.apply(step('set', nowhere), step('set', { ...localnet, value: 'x' } as Row)), [
        'ENOENT',
        'EINVAL',
      ])
    })

    it('reads a sysctl whatever its value', async () => {
      await s.add(bridge)
      assert.deepEqual(await s.look(localnet), [{ ...localnet, value: '0' }])
      await s.assertAbsent({ kind: 'sysctl', key: 'net/ipv4/conf/tsb-9/route_localnet', value: '1' })
    })
  })

  describe('amending', () => {
    it('makes what is missing, sets what differs, takes away what nobody wants, and rests then', async () => {
      await s.add(bridge, gateway)
      const wanted = [{ ...bridge, mtu: 1300 }, gateway6].map(row => ({ row, presence: 'must' }) as const)
      const { steps, outcomes } = await s.kernel.amend(wanted, [gateway])
      assert.deepEqual(steps.map(({ verb, row }) => `${verb} ${row.kind}`).sort(), [
        'add address',
        'delete address',
        'set link',
      ])
      assert.deepEqual(codes(outcomes), ['ok', 'ok', 'ok'])
      await s.assertPresent(...wanted.map(({ row }) => row))
      await s.assertAbsent(gateway)
      assert.deepEqual(await s.kernel.amend(wanted, [gateway]), { steps: [], outcomes: [] })
    })

    it('goes on after a failure', async () => {
      const lost = { ...gateway, link: 'tsb-9' } as Row
      const wanted = [lost, bridge].map(row => ({ row, presence: 'must' }) as const)
      const { steps, outcomes } = await s.kernel.amend(wanted, [])
      assert.deepEqual(steps.map(({ row }, i) => `${row.kind} ${codes(outcomes)[i]}`).sort(), [
        'address ENODEV',
        'link ok',
      ])
    })
  })

  describe('routes', () => {
    const route: Row = { kind: 'route', to: '10.9.0.0/24', link: 'tsb-1', via: '10.77.0.9' }
    const six: Row = { kind: 'route', to: 'fd09::/64', link: 'tsb-1', via: 'fd00:77::9' }

    it('are read by key and as a whole, moved and deleted', async () => {
      await s.add(bridge, gateway, gateway6, route, six)
      await s.assertPresent(route, six)
      assert.deepEqual(
        (await s.owned()).filter(each => each.startsWith('route')),
        [route, six].map(line).sort(),
      )
      const moved = { ...route, via: '10.77.0.8', src: '10.77.0.1' } as Row
      assert.deepEqual(await s.apply(step('set', moved, route)), ['ok'])
      await s.assertPresent(moved)
      assert.deepEqual(await s.apply(step('delete', moved), step('delete', six), step('delete', six)), [
        'ok',
        'ok',
        'ok',
      ])
      await s.assertAbsent(route, six)
    })

    it('of IPv4 may lead by a neighbour that has IPv6', async () => {
      const other = { ...route, via: 'fe80::9' } as Row
      await s.add(bridge, gateway, gateway6, other)
      await s.assertPresent(other)
      assert.deepEqual(await s.apply(step('set', route, other)), ['ok'])
      await s.assertPresent(route)
      assert.deepEqual(await s.apply(step('delete', route)), ['ok'])
    })

    it('name the errno, and go with their link', async () => {
      assert.deepEqual(await s.apply(step('add', route)), ['ENODEV'])
      await s.add(bridge, gateway, route)
      await s.apply(step('delete', bridge))
      await s.assertAbsent(route)
    })
  })

  describe('ports', () => {
    const web: PortRow = { kind: 'port', proto: 'tcp', address: '127.0.0.1', port: 8080 }

    it('are held until they are deleted', async () => {
      const rows: PortRow[] = [
        web,
        { ...web, proto: 'udp' },
        { ...web, proto: 'sctp' },
        { ...web, address: '::1' },
        { ...web, address: '0.0.0.0', port: 8081 },
        { ...web, address: '::', port: 8081 },
      ]
      await s.add(...rows)
      await s.assertPresent(...rows)
      assert.deepEqual(await s.apply(...adds(web)), ['EADDRINUSE'])
      assert.deepEqual(await s.apply(step('delete', web), ...adds(web)), ['ok', 'ok'])
    })

    it('clash with those of somebody else and with the wildcard', async () => {
      const second = await s.bed.open()
      await second.apply(adds(web))
      assert.deepEqual(await s.apply(...adds(web, { ...web, address: '0.0.0.0' })), [
        'EADDRINUSE',
        'EADDRINUSE',
      ])
      await s.assertAbsent(web)
      await second.close()
      await s.add(web)
    })
  })

  describe('shortcuts', () => {
    beforeEach(async function () {
      if (!(await s.kernel.facts()).shortcut) this.skip()
      await s.add(bridge, port)
    })

    it('are there for who asks, for the next daemon and among what is owned', async () => {
      await s.assertAbsent(shortcut)
      await s.add(shortcut)
      await s.assertPresent(shortcut)
      await s.kernel.close()
      s.kernel = await s.bed.open()
      await s.assertPresent(shortcut)
      assert.ok((await s.owned()).includes(line(shortcut)))
    })

    it('lead to another MAC', async () => {
      const other = { ...shortcut, mac: '02:42:0a:4d:00:03' }
      await s.add(shortcut)
      assert.deepEqual(await s.apply(step('set', other, shortcut)), ['ok'])
      await s.assertPresent(other)
      assert.equal((await s.owned()).filter(each => each.startsWith('shortcut')).length, 1)
    })

    it('are taken away alone and with their link, twice', async () => {
      await s.add(shortcut)
      assert.deepEqual(await s.apply(step('delete', shortcut), step('delete', shortcut)), ['ok', 'ok'])
      await s.assertAbsent(shortcut)
      await s.assertPresent(port)
      await s.add(shortcut)
      assert.deepEqual(await s.apply(step('delete', shortcut), step('delete', port)), ['ok', 'ok'])
      await s.assertAbsent(shortcut, port)
    })

    it('go with a link that dies', async () => {
      await s.add(shortcut)
      await s.bed.lose('tsv-1')
      await s.assertAbsent(shortcut)
      assert.ok(!(await s.owned()).some(each => each.startsWith('shortcut')))
    })

    it('fail no step: frames take the bridge', async () => {
      assert.deepEqual(await s.apply(...adds({ ...shortcut, link: 'tsv-9' })), ['ok'])
      await s.assertAbsent({ ...shortcut, link: 'tsv-9' })
    })
  })
  describe('rates', () => {
    beforeEach(() => s.add(bridge, port))
    const owned = async () => (await s.owned()).filter(each => each.startsWith('rate'))

    it('are there for who asks, for the next daemon and among what is owned', async () => {
      await s.assertAbsent(rate)
      await s.add(rate)
      await s.assertPresent(rate)
      await s.kernel.close()
      s.kernel = await s.bed.open()
      await s.assertPresent(rate)
      assert.equal((await owned()).length, 1)
    })

    it('of any size come back as they were said', async () => {
      for (const [bytes, burst] of [
        [125, 1518],
        [131_072, 16_384],
        [1_250_000_007, 25_000_001],
        [1.25e14, 268_435_455],
      ] as const) {
        const row = { ...rate, rate: bytes, burst }
        await s.add(row)
        await s.assertPresent(row)
      }
      assert.equal((await owned()).length, 1)
    })

    it('become others in place', async () => {
      const other = { ...rate, rate: 1_250_000, burst: 25_000 }
      await s.add(rate)
      assert.deepEqual(await s.apply(step('set', other, rate)), ['ok'])
      await s.assertPresent(other)
    })

    it('are taken away alone and with their link, twice', async () => {
      await s.add(rate)
      assert.deepEqual(await s.apply(step('delete', rate), step('delete', rate)), ['ok', 'ok'])
      await s.assertAbsent(rate)
      await s.assertPresent(port)
      await s.add(rate)
      assert.deepEqual(await s.apply(step('delete', port), step('delete', rate)), ['ok', 'ok'])
      await s.assertAbsent(rate, port)
    })

    it('need their link', async () => {
      const nowhere = { ...rate, link: 'tsv-9' }
      assert.deepEqual(await s.apply(step('add', nowhere), step('delete', nowhere)), ['ENODEV', 'ok'])
    })
  })
}
