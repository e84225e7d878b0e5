import assert from 'node:assert/strict'
import { line } from '../../../core/lines.ts'
import type { AcceptRow, Row } from '../../../core/rows.ts'
import { filter } from './filter.ts'
import { host } from './host.ts'
import { links } from './links.ts'
import { bridge, element, gateway, gateway6, ground, localnet, port } from './rows.ts'
import { adds, type Bed, Subject, step } from './subject.ts'
import { tunnels } from './tunnels.ts'

/** Every promise that `Kernel` makes, against a fresh bed for each. */
export function suite(name: string, factory: () => Promise<Bed>): void {
  describe(`kernel contract: ${name}`, () => {
    const s = new Subject(factory)
    for (const part of [links, host, tunnels, filter]) part(s)

    it('accepts our bridges in every backend that is there', async () => {
      await s.bed.firewalls()
      const { accept } = await s.kernel.facts()
      assert.equal(accept.length, 4)
      await s.assertAbsent(...accept)
      await s.add(...accept)
      await s.assertPresent(...accept)
      assert.deepEqual(
        (await s.owned()).filter(each => each.startsWith('accept')),
        accept.map(line).sort(),
      )
      assert.deepEqual(
        await s.apply(...(accept as AcceptRow[]).map(row => step('delete', row))),
        accept.map(() => 'ok'),
      )
      await s.assertAbsent(...accept)
    })

    it('goes on after a step that fails', async () => {
      const bad = { ...gateway, link: 'tsb-9' } as Row
      assert.deepEqual(
        await s.apply(...adds(...ground, bad, bridge, gateway, element('bridges', ['tsb-1']))),
        [...ground.map(() => 'ok'), 'ENODEV', 'ok', 'ok', 'ok'],
      )
      await s.assertPresent(bridge, gateway, element('bridges', ['tsb-1']))
    })

    it('reads the same after the same plan was applied twice', async () => {
      const plan = adds(...ground, bridge, port, gateway, gateway6, localnet, element('bridges', ['tsb-1']))
      await s.kernel.apply(plan)
      const once = await s.owned()
      await s.kernel.apply(plan)
      assert.deepEqual(await s.owned(), once)
    })

    it('says each row once', async () => {
      await s.add(...ground, bridge, port, gateway, element('masq4', ['10.77.0.0/24']))
      const rows = await s.lines({ owned: true, rows: [...ground, bridge, port, gateway] })
      assert.equal(new Set(rows).size, rows.length)
      assert.equal(rows.length, ground.length + 4)
    })
  })
}
