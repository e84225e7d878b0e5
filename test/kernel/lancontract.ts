import assert from 'node:assert/strict'
import type { Kernel } from '../../core/faces.ts'
import type { LinkRow, Row, Step, Verb } from '../../core/rows.ts'
import { adds, type Bed } from './contract.ts'

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

const step = (verb: Verb, row: Row): Step =>
  verb === 'add' ? { verb, row, reason: 'test' } : { verb, row, was: row, reason: 'test' }

/** What `Kernel` promises of links that hang on a parent, and of the LAN behind one. */
export function lanSuite(name: string, factory: () => Promise<Bed>): void {
  describe(`kernel contract, links on a parent: ${name}`, () => {
    let bed: Bed
    let kernel: Kernel
    beforeEach(async () => {
      bed = await factory()
      kernel = await bed.open()
    })
    afterEach(async () => {
      await kernel?.close()
      await bed?.dispose()
    })

    const apply = async (...steps: Step[]) =>
      (await kernel.apply(steps)).map(outcome => (outcome.ok ? 'ok' : outcome.error.code))
    const add = async (...rows: Row[]) =>
      assert.deepEqual(
        await apply(...adds(...rows)),
        rows.map(() => 'ok'),
      )
    const look = async (...rows: Row[]) => kernel.read({ owned: false, rows })
    const names = async () =>
      (await kernel.read({ owned: true, rows: [] }))
        .flatMap(row => (row.kind === 'link' ? row.name : []))
        .sort()

    async function assertPresent(...rows: Row[]) {
      for (const row of rows) {
        const [found] = await look(row)
        assert.ok(found, `${row.kind} is there`)
        const shown = Object.keys(row).map(field => [field, (found as never)[field]])
        assert.deepEqual({ ...Object.fromEntries(shown), peer: undefined }, { ...row, peer: undefined })
      }
    }

    /** A type that this kernel lacks has nothing to be tested here. */
    const itMakes = (type: LinkRow['type'], title: string, body: () => Promise<void>) =>
      it(title, async function () {
        const reason = bed.lacks(type)
        if (reason !== undefined) {
          if (this.test) this.test.title += `: ${reason}`
          return this.skip()
        }
        await body()
      })

    it('a pair stands for a parent: its other end is a row of its own', async () => {
      await add(below, nowhere)
      await assertPresent(below, nowhere)
      assert.deepEqual(await names(), ['tsp-1', 'tsq-1'])
      assert.deepEqual(await apply(step('delete', below), step('delete', nowhere)), ['ok', 'ok'])
      assert.deepEqual(await names(), [])
    })

    itMakes('macvlan', 'a macvlan of each mode', async () => {
      await add(below)
      for (const mode of ['bridge', 'private', 'vepa', 'passthru'] as const) {
        await add({ ...macvlan, mode })
        await assertPresent({ ...macvlan, mode })
        assert.deepEqual(await apply(step('delete', macvlan)), ['ok'])
      }
    })

    itMakes('ipvlan', 'an ipvlan of each mode', async () => {
      await add(below)
      for (const mode of ['l2', 'l3', 'l3s'] as const)
        for (const flag of ['bridge', 'private', 'vepa'] as const) {
          await add({ ...ipvlan, mode, flag })
          await assertPresent({ ...ipvlan, mode, flag })
          assert.deepEqual(await apply(step('delete', ipvlan)), ['ok'])
        }
    })

    itMakes('vlan', 'a VLAN, which is known again by its group', async () => {
      await add(below, vlan, { ...macvlan, parent: vlan.name })
      await assertPresent(vlan)
      await kernel.close()
      kernel = await bed.open()
      assert.deepEqual(await names(), ['tsm-1', 'tsp-1', 'tsp-1.10', 'tsq-1'])
      assert.deepEqual(await apply(step('delete', macvlan), step('delete', vlan)), ['ok', 'ok'])
      await add(vlan)
    })

    it('what has the name of a VLAN is shown as somebody else’s, and stays', async () => {
      const theirs: LinkRow = { ...vlan, name: 'lan0.5', parent: 'lan0', tag: 5 }
      await bed.foreignVeth(theirs.name)
      const [found] = await look(theirs)
      assert.equal((found as LinkRow).adopted, true)
      assert.ok(!(await names()).includes(theirs.name))
      assert.deepEqual(await apply(step('delete', theirs)), ['ok'])
      assert.equal(await bed.hasLink(theirs.name), true)
    })

    itMakes('macvlan', 'are refused where the parent can’t carry them', async () => {
      assert.deepEqual(await apply(...adds(macvlan)), ['ENODEV'])
      await add(below, macvlan)
      assert.deepEqual(await apply(...adds(passthru)), ['EINVAL'])
      assert.deepEqual(await apply(step('delete', macvlan)), ['ok'])
      await add(passthru)
      assert.deepEqual(await apply(...adds(macvlan)), ['EINVAL'])
      assert.deepEqual(await apply(step('delete', passthru)), ['ok'])
      const port: LinkRow = { ...below, name: 'tsv-1', master: 'tsb-1', peer: { name: 'tsc-1' } }
      await add({ kind: 'link', name: 'tsb-1', type: 'bridge', up: true }, port)
      assert.deepEqual(await apply(...adds({ ...macvlan, parent: 'tsv-1' })), ['EBUSY'])
    })

    itMakes(
      'ipvlan',
      'of two kinds don’t share a parent, and what is on its way out is in nobody’s way',
      async () => {
        await add(below, macvlan)
        assert.deepEqual(await apply(...adds(ipvlan)), ['EBUSY'])
        assert.deepEqual(await apply(step('delete', macvlan)), ['ok'])
        await add(ipvlan)
      },
    )

    itMakes('macvlan', 'go with their parent', async () => {
      await add(below, macvlan)
      await bed.lose('tsp-1')
      assert.deepEqual(await look(macvlan), [])
    })

    itMakes('macvlan', 'the host has one of its own, with routes on the link', async () => {
      await add(below, nowhere, hosts, own, route)
      await assertPresent(hosts, own, route)
      assert.deepEqual(await apply(step('delete', route)), ['ok'])
      assert.deepEqual(await look(route), [])
    })

    itMakes('macvlan', 'a route has the source that another link gives it', async () => {
      const row: Row = { kind: 'route', to: '10.77.0.2/32', link: 'tsh-1', srcOf: 'tsp-1' }
      await add(below, nowhere, hosts)
      await bed.foreignAddress('tsp-1', '10.78.0.1/24')
      await bed.foreignAddress('tsp-1', '10.77.0.1/24')
      await add(row)
      await assertPresent(row)
      assert.deepEqual(await apply(step('set', row)), ['ok'])
    })

    itMakes(
      'macvlan',
      'one that is made again goes into its container, under the first free name',
      async () => {
        const namespace = await bed.container()
        const inside = {
          namespace,
          prefix: 'eth',
          addresses: ['10.77.0.2/24', 'fd00:77::2/64'],
          routes: [{ to: '0.0.0.0/0', via: '10.77.0.1' }],
        }
        await add(below, nowhere)
        assert.equal(await kernel.holds(namespace, 'tsm-1'), false)
        await add({ ...macvlan, inside })
        assert.equal(await kernel.holds(namespace, 'tsm-1'), true)
        assert.deepEqual(await look(macvlan), [])
        await add({
          ...macvlan,
          name: 'tsm-9',
          mac: '02:42:0a:4d:00:09',
          inside: { ...inside, addresses: ['10.77.0.9/24'], routes: [] },
        })
        const furnished = await kernel.look(namespace, 'eth0')
        assert.deepEqual(furnished?.addresses, inside.addresses)
        assert.deepEqual(furnished?.routes, inside.routes)
        assert.equal(furnished?.mac, macvlan.mac)
        assert.deepEqual((await kernel.look(namespace, 'eth1'))?.addresses, ['10.77.0.9/24'])
        await bed.lose('tsp-1')
        assert.equal(await kernel.holds(namespace, 'tsm-1'), false)
        assert.equal(await kernel.holds('/run/netns/nobody', 'tsm-1'), false)
      },
    )

    itMakes('macvlan', 'a parent tells what it is and what hangs on it', async () => {
      assert.equal(await kernel.parent('tsp-1'), undefined)
      await add(below, macvlan)
      const { master: __, ...facts } = (await kernel.parent('tsp-1')) ?? {}
      assert.deepEqual(facts, {
        loopback: false,
        mtu: 1400,
        children: [{ type: 'macvlan', mode: 'bridge' }],
      })
    })

    it('the LAN is asked who has an address', async () => {
      const mac = await bed.neighbour('10.77.0.5/24')
      await bed.neighbour('fd00:77::5/64')
      assert.deepEqual(await kernel.probe('lan0', ['10.77.0.6', '10.77.0.5']), { address: '10.77.0.5', mac })
      assert.deepEqual(await kernel.probe('lan0', ['10.77.0.6', 'fd00:77::5']), {
        address: 'fd00:77::5',
        mac,
      })
      assert.equal(await kernel.probe('lan0', ['10.77.0.6', 'fd00:77::6']), undefined)
      assert.equal(await kernel.probe('lan7', ['10.77.0.5']), undefined)
    })

    it('the LAN is told who has an address', async () => {
      await bed.neighbour('10.77.0.5/24')
      await bed.neighbour('fd00:77::5/64')
      const mac = '02:42:0a:4d:00:06'
      await kernel.announce('lan0', ['10.77.0.6', 'fd00:77::6'], mac)
      assert.equal(await bed.heard('10.77.0.6'), mac)
      assert.equal(await bed.heard('fd00:77::6'), mac)
      await kernel.announce('lan7', ['10.77.0.6'], mac)
    })
  })
}
