import assert from 'node:assert/strict'
import { line } from '../../../core/lines.ts'
import type { ChainRow, Row } from '../../../core/rows.ts'
import { bridge, element, everybody, far, far6, near, near6, tunnel, tunnel6, vnis } from './rows.ts'
import { adds, type Subject, step } from './subject.ts'

/** VXLAN links and what hangs on them. */
export function tunnels(s: Subject): void {
  describe('tunnels', () => {
    it('are made as ports of a bridge, one for each family', async () => {
      await s.add(bridge, tunnel, tunnel6)
      await s.assertPresent(tunnel, tunnel6)
    })

    it('change their source address and settings in place', async () => {
      await s.add(bridge, tunnel, far)
      const changed = {
        ...tunnel,
        local: '10.9.0.2',
        flood: true,
        locked: false,
        mtu: 1300,
        inheritDf: false,
      }
      assert.deepEqual(await s.apply(step('set', changed, tunnel)), ['ok'])
      await s.assertPresent(changed, far)
    })

    it('lose what hangs on them when they are replaced', async () => {
      await s.add(bridge, tunnel, far, near)
      assert.deepEqual(await s.apply(step('replace', { ...tunnel, vni: 4712 }, tunnel)), ['ok'])
      await s.assertPresent({ ...tunnel, vni: 4712 }, near)
      await s.assertAbsent(far)
    })

    it('know MACs, everybody and neighbours, read by key and as a whole', async () => {
      const all = [far, far6, everybody('10.9.0.7'), everybody('10.9.0.8'), near, near6]
      await s.add(bridge, tunnel, tunnel6, ...all)
      await s.assertPresent(...all)
      const shown = (await s.owned()).filter(each => /^(fdb|neighbour)/.test(each))
      assert.deepEqual(shown, all.map(line).sort())
      const gone = all.map(row => step('delete', row))
      assert.deepEqual(
        await s.apply(...gone),
        all.map(() => 'ok'),
      )
      await s.assertAbsent(...all)
      assert.deepEqual(
        await s.apply(...gone),
        all.map(() => 'ok'),
      )
    })

    it('tell one destination of everybody from another', async () => {
      await s.add(bridge, tunnel, everybody('10.9.0.7'), everybody('10.9.0.8'))
      assert.deepEqual(await s.apply(step('delete', everybody('10.9.0.7'))), ['ok'])
      await s.assertAbsent(everybody('10.9.0.7'))
      await s.assertPresent(everybody('10.9.0.8'))
    })

    it('move a MAC and an address, and are content when they are there already', async () => {
      const moved = { ...far, to: '10.9.0.8' } as Row
      const other = { ...near, mac: '02:42:0a:4d:00:09' } as Row
      await s.add(bridge, tunnel, far, near)
      assert.deepEqual(await s.look(moved), [far])
      assert.deepEqual(await s.apply(step('set', moved, far), step('set', other, near)), ['ok', 'ok'])
      await s.assertPresent(moved, other)
      await s.add(moved, other)
    })

    it('read many as they read few', async () => {
      const many = Array.from({ length: 200 }, (_, i): Row[] => [
        {
          kind: 'fdb',
          link: 'tsx-1',
          mac: `02:42:00:00:01:${(i + 16).toString(16)}`.slice(0, 17),
          to: '10.9.0.7',
        },
        { kind: 'neighbour', link: 'tsb-1', address: `10.77.1.${i}`, mac: '02:42:00:00:00:01' },
      ]).flat()
      await s.add(bridge, tunnel, far, near, ...many)
      assert.deepEqual((await s.look(...many)).map(line).sort(), many.map(line).sort())
      assert.equal((await s.owned()).filter(each => /^(fdb|neighbour)/.test(each)).length, many.length + 2)
    })

    it('names the errno', async () => {
      await s.add(bridge, tunnel)
      assert.deepEqual(
        await s.apply(
          ...adds(
            { ...far, link: 'tsx-9' } as Row,
            { ...far, to: '10.9.0.300' } as Row,
            { ...far, mac: '02:42' } as Row,
            { ...near, link: 'tsb-9' } as Row,
            { ...near, address: 'nowhere' } as Row,
            far,
            near,
          ),
        ),
        ['ENODEV', 'EINVAL', 'EINVAL', 'ENODEV', 'EINVAL', 'ok', 'ok'],
      )
    })

    it('are told by port and VNI in the filter', async () => {
      const rule: ChainRow = {
        kind: 'chain',
        name: 'underlay',
        hook: 'type filter hook input priority filter - 5',
        rules: ['udp dport . @th,96,24 @vnis drop'],
      }
      await s.add(vnis, rule, element('vnis', ['4789', '16777215']), element('vnis', ['4790', '1']))
      await s.assertPresent(vnis, rule, element('vnis', ['4789', '16777215']), element('vnis', ['4790', '1']))
    })
  })
}
