import assert from 'node:assert/strict'
import { blockLength, emptyDisk, type Input, type Output, type Word } from '../../ipam/blocks.ts'
import { Blocks } from '../../ipam/blocks-step.ts'

const words = (outputs: Output[]): Word => {
  const last = outputs.filter(output => output.type === 'publish').at(-1)
  assert.ok(last)
  return last.word
}
const kinds = (outputs: Output[]) => outputs.map(({ type }) => type)

/** A creator and a host that has just come, both told of each other. */
function two(): [Blocks, Blocks] {
  const [a, b] = [new Blocks('A', 1, emptyDisk(), 0), new Blocks('B', 2, emptyDisk(), 0)]
  for (const one of [a, b]) one.step({ type: 'members', hosts: ['A', 'B'] })
  a.step({ type: 'create', blocks: 4 })
  a.step({ type: 'persisted', version: 1 })
  meet(a, b)
  return [a, b]
}

const tell = (
  from: Blocks,
  to: Blocks,
  input: Input = { type: 'heard', from: from.host, word: from.word() },
) => to.step(input)

function meet(a: Blocks, b: Blocks): void {
  tell(a, b)
  tell(b, a)
  a.step({ type: 'agreed', with: b.host })
  b.step({ type: 'agreed', with: a.host })
  tell(a, b)
  tell(b, a)
}

describe('blocks of a pool', () => {
  it('are given when the giver’s disk has it, and used when the receiver’s has', () => {
    const [a, b] = two()
    b.step({ type: 'want', kept: 1 })
    const given = tell(b, a)
    assert.deepEqual(words(given).gifts, [], 'not yet on disk')
    const write = given.find(output => output.type === 'persist')
    assert.ok(write && write.disk.free.length === 3)
    const sent = a.step({ type: 'persisted', version: write.version })
    assert.equal(words(sent).gifts.length, 1)
    const got = b.step({ type: 'heard', from: 'A', word: words(sent) })
    assert.deepEqual(kinds(got), ['persist', 'publish'])
    assert.deepEqual(words(got).kept, [0], 'claimed at once')
    assert.deepEqual(kinds(b.step({ type: 'persisted', version: 1 })), ['usable', 'publish'])
  })

  it('that an older life of the giver had under way come to nothing', () => {
    const [a, b] = two()
    b.step({ type: 'want', kept: 1 })
    tell(b, a)
    const sent = words(a.step({ type: 'persisted', version: 2 }))
    b.step({ type: 'heard', from: 'A', word: { ...sent, life: 9, gifts: [] } })
    assert.deepEqual(words(b.step({ type: 'heard', from: 'A', word: { ...sent, life: 9 } })).kept, [])
  })

  it('are out of use after a boot until somebody who knows has been asked', () => {
    const disk = { ...emptyDisk(), kept: [2], free: [3] }
    const b = new Blocks('B', 5, disk, 0)
    assert.deepEqual(kinds(b.step({ type: 'members', hosts: ['A', 'C'] })), ['publish'])
    const [a] = two()
    tell(a, b)
    assert.deepEqual(kinds(b.step({ type: 'agreed', with: 'A' })), ['usable', 'publish'])
    assert.deepEqual(words(b.step({ type: 'want', kept: 2 })).kept, [2], 'what is free waits for C')
  })

  it('of a daemon that restarts on a running machine go on', () => {
    const b = new Blocks('B', 5, { ...emptyDisk(), kept: [2] }, 1)
    assert.deepEqual(kinds(b.step({ type: 'members', hosts: ['A'] })), ['usable', 'publish'])
  })

  it('are lost by a host that was forgotten', () => {
    const [a, b] = two()
    b.step({ type: 'want', kept: 1 })
    tell(b, a)
    tell(a, b, { type: 'heard', from: 'A', word: words(a.step({ type: 'persisted', version: 2 })) })
    const told = a.step({ type: 'forget', host: 'B' })
    const write = told.find(output => output.type === 'persist')
    a.step({ type: 'persisted', version: write?.version ?? 0 })
    const lost = tell(a, b).find(output => output.type === 'lost')
    assert.deepEqual(lost?.blocks, [0])
    assert.deepEqual(b.disk.kept, [])
  })

  it('have 64 addresses, fewer in a small pool, more in a large one', () => {
    const lengths = [16, 20, 24, 28, 30, 8].map(length => blockLength({ family: 4, length }))
    assert.deepEqual(lengths, [26, 26, 28, 32, 32, 20])
    assert.equal(blockLength({ family: 6, length: 64 }), 76)
  })
})
