import assert from 'node:assert/strict'
import type { LinkRow, Row } from '../../../core/rows.ts'
import { adds, type Bed, Subject, step } from './subject.ts'

const below: LinkRow = {
  kind: 'link',
  name: 'tsp-1',
  type: 'veth',
  up: true,
  mtu: 1400,
  peer: { name: 'tsq-1' },
}
const nowhere: LinkRow = { kind: 'link', name: 'tsq-1', type: 'veth', up: true }
const macvlan: LinkRow = {
  kind: 'link',
  name: 'tsm-1',
  type: 'macvlan',
  up: false,
  parent: 'tsp-1',
  mode: 'bridge',
  mac: '02:42:0a:4d:00:02',
  mtu: 1300,
}
const passthru: LinkRow = { ...macvlan, name: 'tsm-2', mac: '02:42:0a:4d:00:03', mode: 'passthru' }
const { mac: _, ...plain } = macvlan
const ipvlan: LinkRow = { ...plain, name: 'tsm-3', type: 'ipvlan', mode: 'l3', flag: 'vepa' }
const vlan: LinkRow = { kind: 'link', name: 'tsp-1.10', type: 'vlan', up: true, parent: 'tsp-1', tag: 10 }
const hosts: LinkRow = { ...macvlan, name: 'tsh-1', mac: '02:76:00:00:00:01', up: true }
const route: Row = { kind: 'route', to: '10.77.0.2/32', link: 'tsh-1', src: '10.77.0.90' }
const own: Row = { kind: 'address', link: 'tsh-1', address: '10.77.0.90/32' }

/** What `Kernel` promises of links that hang on a parent, and of the LAN behind one. */
export function lanSuite(name: string, factory: () => Promise<Bed>): void {
  describe(`kernel contract, links on a parent: ${name}`, () => {
    const s = new Subject(factory)
    const names = async () =>
      (await s.kernel.read({ owned: true, rows: [] }))
        .flatMap(row => (row.kind === 'link' ? row.name : []))
        .sort()

    /** A type that this kernel lacks has nothing to be tested here. */
    const itMakes = (type: LinkRow['type'], title: string, body: () => Promise<void>) =>
      it(title, async function () {
        const reason = s.bed.lacks(type)
        if (reason !== undefined) {
          if (this.test) this.test.title += `: ${reason}`
          return this.skip()
        }
        await body()
      })

    it('a pair stands for a parent: its other end is a row of its own', async () => {
      await s.add(below, nowhere)
      await s.assertPresent(below, nowhere)
      assert.deepEqual(await names(), ['tsp-1', 'tsq-1'])
      assert.deepEqual(await s.apply(step('delete', below), step('delete', nowhere)), ['ok', 'ok'])
      assert.deepEqual(await names(), [])
    })

    itMakes('macvlan', 'a macvlan of each mode', async () => {
      await s.add(below)
      for (const mode of ['bridge', 'private', 'vepa', 'passthru'] as const) {
        await s.add({ ...macvlan, mode })
        await s.assertPresent({ ...macvlan, mode })
        assert.deepEqual(await s.apply(step('delete', macvlan)), ['ok'])
      }
    })

    itMakes('ipvlan', 'an ipvlan of each mode', async () => {
      await s.add(below)
      for (const mode of ['l2', 'l3', 'l3s'] as const)
        for (const flag of ['bridge', 'private', 'vepa'] as const) {
          await s.add({ ...ipvlan, mode, flag })
          await s.assertPresent({ ...ipvlan, mode, flag })
          assert.deepEqual(await s.apply(step('delete', ipvlan)), ['ok'])
        }
    })

    itMakes('vlan', 'a VLAN, which is known again by its group', async () => {
      await s.add(below, vlan, { ...macvlan, parent: vlan.name })
      await s.assertPresent(vlan)
      await s.kernel.close()
      s.kernel = await s.bed.open()
      assert.deepEqual(await names(), ['tsm-1', 'tsp-1', 'tsp-1.10', 'tsq-1'])
      assert.deepEqual(await s.apply(step('delete', macvlan), step('delete', vlan)), ['ok', 'ok'])
      await s.add(vlan)
    })

    it('what has the name of a VLAN is shown as somebody else’s, and stays', async () => {
      const theirs: LinkRow = { ...vlan, name: 'lan0.5', parent: 'lan0', tag: 5 }
      await s.bed.foreignVeth(theirs.name)
      const [found] = await s.look(theirs)
      assert.equal((found as LinkRow).adopted, true)
      assert.ok(!(await names()).includes(theirs.name))
      assert.deepEqual(await s.apply(step('delete', theirs)), ['ok'])
      assert.equal(await s.bed.hasLink(theirs.name), true)
    })

    itMakes('macvlan', 'are refused where the parent can’t carry them', async () => {
      assert.deepEqual(await s.apply(...adds(macvlan)), ['ENODEV'])
      await s.add(below, macvlan)
      assert.deepEqual(await s.apply(...adds(passthru)), ['EINVAL'])
      assert.deepEqual(await s.apply(step('delete', macvlan)), ['ok'])
      await s.add(passthru)
      assert.deepEqual(await s.apply(...adds(macvlan)), ['EINVAL'])
      assert.deepEqual(await s.apply(step('delete', passthru)), ['ok'])
      const port: LinkRow = { ...below, name: 'tsv-1', master: 'tsb-1', peer: { name: 'tsc-1' } }
      await s.add({ kind: 'link', name: 'tsb-1', type: 'bridge', up: true }, port)
      assert.deepEqual(await s.apply(...adds({ ...macvlan, parent: 'tsv-1' })), ['EBUSY'])
    })

    itMakes(
      'ipvlan',
      'of two kinds don’t share a parent, and what is on its way out is in nobody’s way',
      async () => {
        await s.add(below, macvlan)
        assert.deepEqual(await s.apply(...adds(ipvlan)), ['EBUSY'])
        assert.deepEqual(await s.apply(step('delete', macvlan)), ['ok'])
        await s.add(ipvlan)
      },
    )

    itMakes('macvlan', 'go with their parent', async () => {
      await s.add(below, macvlan)
      await s.bed.lose('tsp-1')
      assert.deepEqual(await s.look(macvlan), [])
    })

    itMakes('macvlan', 'the host has one of its own, with routes on the link', async () => {
      await s.add(below, nowhere, hosts, own, route)
      await s.assertPresent(hosts, own, route)
      assert.deepEqual(await s.apply(step('delete', route)), ['ok'])
      assert.deepEqual(await s.look(route), [])
    })

    itMakes('macvlan', 'a route has the source that another link gives it', async () => {
      const row: Row = { kind: 'route', to: '10.77.0.2/32', link: 'tsh-1', srcOf: 'tsp-1' }
      await s.add(below, nowhere, hosts)
      await s.bed.foreignAddress('tsp-1', '10.78.0.1/24')
      await s.bed.foreignAddress('tsp-1', '10.77.0.1/24')
      await s.add(row)
      await s.assertPresent(row)
      assert.deepEqual(await s.apply(step('set', row)), ['ok'])
    })

    itMakes(
      'macvlan',
      'one that is made again goes into its container, under the first free name',
      async () => {
        const namespace = await s.bed.container()
        const inside = {
          namespace,
          prefix: 'eth',
          addresses: ['10.77.0.2/24', 'fd00:77::2/64'],
          routes: [{ to: '0.0.0.0/0', via: '10.77.0.1' }],
        }
        await s.add(below, nowhere)
        assert.equal(await s.kernel.holds(namespace, 'tsm-1'), false)
        await s.add({ ...macvlan, inside })
        assert.equal(await s.kernel.holds(namespace, 'tsm-1'), true)
        assert.deepEqual(await s.look(macvlan), [])
        await s.add({
          ...macvlan,
          name: 'tsm-9',
          mac: '02:42:0a:4d:00:09',
          inside: { ...inside, addresses: ['10.77.0.9/24'], routes: [] },
        })
        const furnished = await s.kernel.look(namespace, 'eth0')
        assert.deepEqual(furnished?.addresses, inside.addresses)
        assert.deepEqual(furnished?.routes, inside.routes)
        assert.equal(furnished?.mac, macvlan.mac)
        assert.deepEqual((await s.kernel.look(namespace, 'eth1'))?.addresses, ['10.77.0.9/24'])
        await s.bed.lose('tsp-1')
        assert.equal(await s.kernel.holds(namespace, 'tsm-1'), false)
        assert.equal(await s.kernel.holds('/run/netns/nobody', 'tsm-1'), false)
      },
    )

    itMakes('macvlan', 'a parent tells what it is and what hangs on it', async () => {
      assert.equal(await s.kernel.parent('tsp-1'), undefined)
      await s.add(below, macvlan)
      const { master: __, ...facts } = (await s.kernel.parent('tsp-1')) ?? {}
      assert.deepEqual(facts, {
        loopback: false,
        mtu: 1400,
        children: [{ type: 'macvlan', mode: 'bridge' }],
        vlans: [],
      })
    })

    itMakes('vlan', 'a parent tells its VLANs', async () => {
      await s.add(below, vlan)
      assert.deepEqual((await s.kernel.parent('tsp-1'))?.vlans, [{ name: 'tsp-1.10', tag: 10 }])
      assert.deepEqual(await s.apply(step('delete', vlan)), ['ok'])
      assert.deepEqual((await s.kernel.parent('tsp-1'))?.vlans, [])
    })

    it('the LAN is asked who has an address', async () => {
      const mac = await s.bed.neighbour('10.77.0.5/24')
      await s.bed.neighbour('fd00:77::5/64')
      assert.deepEqual(await s.kernel.probe('lan0', ['10.77.0.6', '10.77.0.5']), {
        address: '10.77.0.5',
        mac,
      })
      assert.deepEqual(await s.kernel.probe('lan0', ['10.77.0.6', 'fd00:77::5']), {
        address: 'fd00:77::5',
        mac,
      })
      assert.equal(await s.kernel.probe('lan0', ['10.77.0.6', 'fd00:77::6']), undefined)
      assert.equal(await s.kernel.probe('lan7', ['10.77.0.5']), undefined)
    })

    it('the LAN is told who has an address', async () => {
      await s.bed.neighbour('10.77.0.5/24')
      await s.bed.neighbour('fd00:77::5/64')
      const mac = '02:42:0a:4d:00:06'
      await s.kernel.announce('lan0', ['10.77.0.6', 'fd00:77::6'], mac)
      assert.equal(await s.bed.heard('10.77.0.6'), mac)
      assert.equal(await s.bed.heard('fd00:77::6'), mac)
      await s.kernel.announce('lan7', ['10.77.0.6'], mac)
    })
  })
}
