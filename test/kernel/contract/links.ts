import assert from 'node:assert/strict'
import { line } from '../../../core/lines.ts'
import { isAlike } from '../../../core/rates.ts'
import type { LinkRow, Row } from '../../../core/rows.ts'
import { bridge, element, gateway, gateway6, ground, localnet, port, portPresent } from './rows.ts'
import { adds, type Subject, step } from './subject.ts'

/** Links: made, changed, told from others’. */
export function links(s: Subject): void {
  describe('links', () => {
    it('makes a bridge and a veth that is its port, in one go', async () => {
      await s.add(bridge, port)
      await s.assertPresent(bridge, port)
      assert.equal(await s.bed.hasLink('tsc-1'), true)
    })

    it('does not name the container end as a row of its own', async () => {
      await s.add(bridge, port)
      const links = (await s.kernel.read({ owned: true, rows: [] })).filter(row => row.kind === 'link')
      assert.deepEqual(links.map(({ name }) => name).sort(), ['tsb-1', 'tsv-1'])
    })

    it('says every field that a row can want', async () => {
      await s.add(bridge, port)
      const [found] = await s.look(port)
      const { mac, ...rest } = found as LinkRow
      assert.match(mac ?? '', /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/)
      assert.deepEqual(rest, portPresent)
    })

    it('changes flags, MTU, MAC and master in place', async () => {
      const other: LinkRow = { ...bridge, name: 'tsb-2' }
      await s.add(bridge, other, port)
      const changed = {
        ...port,
        master: 'tsb-2',
        mtu: 1300,
        mac: '02:42:00:00:00:09',
        hairpin: false,
        isolated: true,
      }
      assert.deepEqual(await s.apply(step('set', changed, port)), ['ok'])
      await s.assertPresent(changed)
      assert.deepEqual(await s.apply(step('set', { ...changed, up: false }, changed)), ['ok'])
      await s.assertPresent({ ...changed, up: false })
    })

    it('deletes both ends of a veth, and is content when there is nothing to delete', async () => {
      await s.add(bridge, port)
      assert.deepEqual(await s.apply(step('delete', port)), ['ok'])
      await s.assertAbsent(port)
      assert.deepEqual(await s.apply(step('delete', port)), ['ok'])
    })

    it('drops what hangs on a bridge that goes, and frees its ports', async () => {
      await s.add(bridge, port, gateway, gateway6, localnet)
      assert.deepEqual(await s.apply(step('delete', bridge)), ['ok'])
      await s.assertAbsent(bridge, gateway, gateway6, localnet)
      const [left] = await s.look(port)
      assert.equal((left as LinkRow).master, undefined)
    })

    it('drops what hangs on a link that is replaced', async () => {
      await s.add(bridge, gateway)
      assert.deepEqual(await s.apply(step('replace', { ...bridge, mtu: 1300 }, bridge)), ['ok'])
      await s.assertPresent({ ...bridge, mtu: 1300 })
      await s.assertAbsent(gateway)
    })

    it('gives a name again at once', async () => {
      await s.add(bridge, port)
      assert.deepEqual(await s.apply(step('delete', port), step('delete', bridge)), ['ok', 'ok'])
      await s.add(bridge, port)
      await s.assertPresent(bridge, port)
    })

    it('notices that a link was lost', async () => {
      await s.add(bridge, port)
      await s.bed.lose('tsc-1')
      await s.assertAbsent(port)
    })

    it('names the errno', async () => {
      await s.add(bridge, port)
      assert.deepEqual(await s.apply(...adds(bridge)), ['EEXIST'])
      assert.deepEqual(await s.apply(...adds({ ...port, name: 'tsv-2', peer: { name: 'tsc-1' } })), [
        'EEXIST',
      ])
      assert.deepEqual(
        await s.apply(...adds({ ...port, name: 'tsv-3', peer: { name: 'tsc-3' }, master: 'tsb-9' })),
        ['ENODEV'],
      )
      assert.deepEqual(await s.apply(step('set', { ...bridge, name: 'tsb-8' })), ['ENODEV'])
      assert.deepEqual(await s.apply(...adds({ ...bridge, name: 'tsb-a-name-too-long' })), ['EINVAL'])
    })
  })

  describe('ownership', () => {
    it('adopts a bridge that somebody else made, and gives it back', async () => {
      const theirs: LinkRow = { ...bridge, name: 'br0' }
      await s.bed.foreignBridge('br0')
      await s.bed.foreignAddress('br0', '10.99.0.1/24')
      await s.assertAbsent(theirs)
      await s.add(theirs, { ...gateway, link: 'br0' } as Row)
      await s.assertPresent({ ...theirs, adopted: true })
      assert.deepEqual(
        (await s.owned()).filter(each => each.startsWith('address')),
        ['address 10.77.0.1/24 dev br0'],
      )
      assert.deepEqual(await s.apply(step('delete', { ...theirs, adopted: true })), ['ok'])
      await s.assertAbsent(theirs)
      assert.equal(await s.bed.hasLink('br0'), true)
    })

    it('knows a bridge of the user’s name again', async () => {
      const named: LinkRow = { ...bridge, name: 'lan0' }
      await s.add(named)
      const [found] = await s.look(named)
      assert.equal((found as LinkRow).adopted, undefined)
      assert.deepEqual(await s.apply(step('delete', named)), ['ok'])
      assert.equal(await s.bed.hasLink('lan0'), false)
    })

    it('neither shows nor touches somebody else’s link', async () => {
      await s.bed.foreignVeth('eth7')
      const theirs: LinkRow = { kind: 'link', name: 'eth7', type: 'veth', up: true }
      await s.assertAbsent(theirs)
      assert.deepEqual(await s.apply(step('delete', theirs), ...adds(theirs)), ['EPERM', 'EEXIST'])
      assert.equal(await s.bed.hasLink('eth7'), true)
      assert.deepEqual(await s.owned(), [])
    })

    it('reads after a crash what it would have read before', async () => {
      await s.add(...ground, bridge, port, gateway, gateway6, element('bridges', ['tsb-1']))
      const before = await s.lines({ owned: true, rows: ground })
      const second = await s.bed.open()
      const after = (await second.read({ owned: true, rows: ground })).map(line).sort()
      await second.close()
      assert.deepEqual(after, before)
      assert.equal(after.length, ground.length + 5)
    })
  })

  describe('links inside of a container', () => {
    const mac = '02:42:0a:4d:00:02'
    const inside = async (): Promise<LinkRow> => ({
      ...port,
      peer: {
        ...{ name: 'eth0', mac, mtu: 1400 },
        inside: {
          namespace: await s.bed.container(),
          addresses: ['10.77.0.2/24', 'fd00:77::2/64'],
          routes: [
            { to: '0.0.0.0/0', via: '10.77.0.1' },
            { to: '::/0', via: 'fd00:77::1' },
            { to: '192.0.2.0/24' },
          ],
        },
      },
    })

    it('are born with all they need', async () => {
      const row = await inside()
      await s.add(bridge, row)
      const { namespace = '', addresses = [], routes = [] } = row.peer?.inside ?? {}
      const found = await s.kernel.look(namespace, 'eth0')
      assert.deepEqual(
        { ...found, routes: found?.routes.map(each => JSON.stringify(each)).sort() },
        {
          ...{ mac, mtu: 1400, up: true, addresses },
          routes: routes.map(each => JSON.stringify(each)).sort(),
        },
      )
      assert.equal(await s.kernel.look(namespace, 'eth1'), undefined)
    })

    it('send no faster than they are to', async () => {
      const row = await inside()
      const { peer } = row
      if (!peer?.inside) assert.fail()
      const rate = { rate: 6_250_000, burst: 125_000 }
      await s.add(bridge, { ...row, peer: { ...peer, inside: { ...peer.inside, rate } } })
      const found = (await s.kernel.look(peer.inside.namespace, 'eth0'))?.rate
      assert.ok(found && isAlike(rate, found), JSON.stringify(found))
    })

    it('refuse a name that is taken, and a namespace that is none', async () => {
      const row = await inside()
      await s.add(bridge, row)
      assert.deepEqual(await s.apply(step('add', { ...row, name: 'tsv-2' })), ['EEXIST'])
    })

    it('go out of sight at once, and only those of the MAC', async () => {
      const row = await inside()
      await s.add(bridge, row)
      const { namespace = '' } = row.peer?.inside ?? {}
      await s.kernel.retire(namespace, 'eth0', '02:00:00:00:00:01')
      assert.ok(await s.kernel.look(namespace, 'eth0'))
      await s.kernel.retire(namespace, 'eth0', mac)
      assert.equal(await s.kernel.look(namespace, 'eth0'), undefined)
      await s.kernel.retire(namespace, 'eth0', mac)
      await s.kernel.retire('/run/netns/not-there', 'eth0', mac)
      assert.equal(await s.kernel.look('/run/netns/not-there', 'eth0'), undefined)
    })
  })
}
