import assert from 'node:assert/strict'
import { line } from '../../../core/lines.ts'
import type { ChainRow, Row, SetRow } from '../../../core/rows.ts'
import { bridges, element, forward, ground, ingress, masq, open, ports, subnets } from './rows.ts'
import { adds, type Subject, step } from './subject.ts'

/** Chains, sets and their elements. */
export function filter(s: Subject): void {
  describe('chains and sets', () => {
    it('makes all at once, whatever the order', async () => {
      await s.add(forward, open, ingress, subnets, masq, ports, bridges)
      await s.assertPresent(...ground)
    })

    it('shows rules and hook of another text as differing, and corrects them', async () => {
      await s.add(...ground)
      for (const row of [
        { ...open, rules: ['drop'] },
        { ...forward, rules: [...forward.rules, 'drop'] },
        { ...forward, hook: 'type filter hook forward priority filter - 6' },
      ]) {
        const [found] = await s.look(row)
        assert.notDeepEqual(found, row)
        assert.deepEqual(await s.apply(step('set', row, found ?? row)), ['ok'])
        await s.assertPresent(row)
      }
    })

    it('keeps elements when rules change', async () => {
      await s.add(...ground, element('bridges', ['tsb-1']), element('ingress', ['tsb-1'], ['jump open']))
      assert.deepEqual(await s.apply(step('set', { ...open, rules: ['accept'] }, open)), ['ok'])
      await s.assertPresent(element('bridges', ['tsb-1']), element('ingress', ['tsb-1'], ['jump open']))
    })

    it('replaces a set under the rules that use it, and empties it', async () => {
      await s.add(...ground, element('bridges', ['tsb-1']), element('masq4', ['10.77.0.0/24']))
      const wider: SetRow = { ...masq, value: ['ipv4_addr'] }
      const same: SetRow = { ...bridges, interval: false }
      assert.deepEqual(await s.apply(step('replace', same, bridges), step('replace', wider, masq)), [
        'ok',
        'ok',
      ])
      await s.assertPresent(...ground.filter(row => row !== masq), wider)
      await s.assertAbsent(element('bridges', ['tsb-1']), element('masq4', ['10.77.0.0/24']))
    })

    it('deletes what nothing uses', async () => {
      await s.add(...ground, element('bridges', ['tsb-1']))
      assert.deepEqual(await s.apply(step('delete', bridges)), ['EBUSY'])
      assert.deepEqual(await s.apply(step('delete', open)), ['EBUSY'])
      const gone = ground.map(row => step('delete', row))
      assert.deepEqual(
        await s.apply(...gone),
        gone.map(() => 'ok'),
      )
      await s.assertAbsent(...ground, element('bridges', ['tsb-1']))
      assert.deepEqual(
        await s.apply(...gone),
        gone.map(() => 'ok'),
      )
    })

    it('deletes a chain together with the verdict that leads to it', async () => {
      const away: ChainRow = { kind: 'chain', name: 'away', rules: ['drop'] }
      const verdict = element('ingress', ['tsb-1'], ['jump away'])
      await s.add(...ground, away, verdict)
      assert.deepEqual(await s.apply(step('delete', away)), ['EBUSY'])
      assert.deepEqual(await s.apply(step('delete', away), step('delete', verdict)), ['ok', 'ok'])
      await s.assertAbsent(away, verdict)
    })

    it('names the errno, and makes the others', async () => {
      const lonely: ChainRow = { kind: 'chain', name: 'lonely', rules: ['iifname @nobody accept'] }
      assert.deepEqual(await s.apply(...adds(lonely, bridges, open)), ['ENOENT', 'ok', 'ok'])
      await s.assertPresent(bridges, open)
      await s.assertAbsent(lonely)
      assert.deepEqual(await s.apply(...adds(bridges, open)), ['EEXIST', 'EEXIST'])
    })

    it('notices a flush, and mends it', async () => {
      await s.add(...ground, element('bridges', ['tsb-1']))
      await s.bed.flush()
      await s.assertAbsent(...ground, element('bridges', ['tsb-1']))
      assert.deepEqual(await s.owned(), [])
      await s.add(...ground, element('bridges', ['tsb-1']))
      await s.assertPresent(...ground, element('bridges', ['tsb-1']))
    })
  })

  describe('elements', () => {
    const all = [
      element('bridges', ['tsb-1']),
      element('bridges', ['tsb-2']),
      element('ports4', ['10.1.1.1', 'tcp', '80'], ['10.77.0.2', '8080']),
      element('ports4', ['10.1.1.1', 'udp', '80'], ['10.77.0.2', '8080']),
      element('masq4', ['10.77.0.0/24']),
      element('masq4', ['10.77.1.0/24']),
      element('masq4', ['192.168.0.7']),
      element('subnets6', ['fd00:77::/64', 'tsb-1']),
      element('ingress', ['tsb-1'], ['jump open']),
      element('ingress', ['tsb-2'], ['drop']),
    ]

    it('are added, read by key and as a whole, and deleted', async () => {
      await s.add(...ground, ...all)
      await s.assertPresent(...all)
      const shown = (await s.owned()).filter(each => each.startsWith('element'))
      assert.deepEqual(shown, all.map(line).sort())
      assert.deepEqual(
        await s.apply(...all.map(row => step('delete', row))),
        all.map(() => 'ok'),
      )
      await s.assertAbsent(...all)
      assert.deepEqual(
        await s.apply(...all.map(row => step('delete', row))),
        all.map(() => 'ok'),
      )
    })

    it('deletes one of two neighbouring intervals', async () => {
      await s.add(...ground, ...all)
      assert.deepEqual(await s.apply(step('delete', element('masq4', ['10.77.0.0/24']))), ['ok'])
      await s.assertAbsent(element('masq4', ['10.77.0.0/24']))
      await s.assertPresent(element('masq4', ['10.77.1.0/24']), element('masq4', ['192.168.0.7']))
    })

    it('shows and changes a value', async () => {
      await s.add(...ground, ...all)
      const moved = element('ports4', ['10.1.1.1', 'tcp', '80'], ['10.77.0.3', '8080'])
      const closed = element('ingress', ['tsb-1'], ['drop'])
      assert.notDeepEqual(await s.look(moved), [moved])
      assert.deepEqual(await s.apply(step('set', moved, all[2]), step('set', closed, all[8])), ['ok', 'ok'])
      await s.assertPresent(moved, closed)
    })

    it('moves from one key to another in one go', async () => {
      await s.add(...ground, ...all)
      const moved = element('ports4', ['10.1.1.2', 'tcp', '80'], ['10.77.0.2', '8080'])
      assert.deepEqual(await s.apply(...adds(moved), step('delete', all[2] as Row)), ['ok', 'ok'])
      await s.assertPresent(moved)
      await s.assertAbsent(all[2] as Row)
    })

    it('names the errno of the guilty ones, and adds the others', async () => {
      await s.add(...ground, ...all)
      const outcomes = await s.apply(
        ...adds(
          element('bridges', ['tsb-1']),
          element('nowhere', ['tsb-1']),
          element('bridges', ['tsb-3']),
          element('ports4', ['10.1.1.1', 'tcp', '80'], ['10.77.0.9', '80']),
          element('ports4', ['10.1.1.1', 'tcp'], ['10.77.0.9', '80']),
          element('ports4', ['10.1.1.1', 'tcp', '81']),
          element('ingress', ['tsb-4'], ['jump nowhere']),
          element('bridges', ['tsb-4']),
        ),
      )
      assert.deepEqual(outcomes, ['EEXIST', 'ENOENT', 'ok', 'EEXIST', 'EINVAL', 'EINVAL', 'ENOENT', 'ok'])
      await s.assertPresent(element('bridges', ['tsb-3']), element('bridges', ['tsb-4']), all[2] as Row)
    })
  })
}
