import assert from 'node:assert/strict'
import { ahead } from '../../core/ahead.ts'
import type { Store } from '../../core/faces.ts'
import type { Change, Network } from '../../core/records.ts'
import { FakeKernel } from '../../kernel/fake.ts'
import { memoryStore } from '../../store/memory.ts'
import { World } from '../support/world.ts'

const network = (mode: string): Network => ({
  id: 'n1',
  mode,
  options: {},
  internal: false,
  ipv4: [],
  ipv6: [],
  created: 1,
})
const put = (mode: string): Change => ({ table: 'network', id: 'n1', value: network(mode) })

/** A store in memory whose writes wait until they are let go or refused. */
function held() {
  const inner = memoryStore()
  const turns: PromiseWithResolvers<void>[] = []
  const store: Store = {
    ...inner,
    async write(changes) {
      const turn = Promise.withResolvers<void>()
      turns.push(turn)
      await turn.promise
      await inner.write(changes)
    },
  }
  return { store, turns }
}

describe('a store that shows changes ahead of the disk', () => {
  it('shows a change at once and resolves when it is durable', async () => {
    const { store, turns } = held()
    const early = ahead(store)
    const written = early.write([put('bridge')])
    assert.equal(early.records.networks.get('n1')?.mode, 'bridge')
    assert.equal(store.records.networks.size, 0)
    turns[0]?.resolve()
    await written
    assert.equal(store.records.networks.get('n1')?.mode, 'bridge')
  })

  it('shows what it was again when the disk refuses', async () => {
    const { store, turns } = held()
    const early = ahead(store)
    const first = early.write([put('bridge')])
    const second = early.write([{ table: 'network', id: 'n1' }])
    turns[0]?.resolve()
    turns[1]?.reject(new Error('full'))
    await Promise.all([first, assert.rejects(second, /full/)])
    assert.equal(early.records.networks.get('n1')?.mode, 'bridge')
  })

  it('keeps what was written after that which the disk refuses', async () => {
    const { store, turns } = held()
    const early = ahead(store)
    const first = early.write([put('bridge')])
    const second = early.write([put('overlay')])
    turns[0]?.reject(new Error('full'))
    turns[1]?.resolve()
    await Promise.all([assert.rejects(first, /full/), second])
    assert.equal(early.records.networks.get('n1')?.mode, 'overlay')
  })

  it('leaves nothing in the kernel of what the disk refuses', async () => {
    const { store, turns } = held()
    const world = new World(new FakeKernel(), store)
    await world.settler.settle('everything')
    const before = world.kernel.dump()
    const created = world.engine.createNetwork({
      id: 'n1',
      words: {},
      internal: false,
      ipv4: [{ pool: '10.1.0.0/24', gateway: '10.1.0.1/24', aux: {} }],
      ipv6: [],
      enable: { ipv4: true, ipv6: false },
    })
    await world.settler.settle('everything')
    assert.notDeepEqual(world.kernel.dump(), before, 'the kernel is settled while the disk is at it')
    turns[0]?.reject(new Error('full'))
    await assert.rejects(created, /full/)
    assert.deepEqual(world.kernel.dump(), before)
    assert.equal(world.engine.network('n1'), undefined)
  })
})
