import assert from 'node:assert/strict'
import fc from 'fast-check'
import { readKept, readSaid, writeKept, writeSaid } from '../../ipam/said.ts'

const blocks = fc.uniqueArray(fc.nat(4095), { maxLength: 200 }).map(all => all.sort((a, b) => a - b))
const host = fc.stringMatching(/^[0-9a-f]{32}$/)
const fences = fc.dictionary(
  host,
  fc.record({ generation: fc.nat(), life: fc.nat() }, { noNullPrototype: true }),
  {
    noNullPrototype: true,
  },
)
const word = fc.record(
  {
    life: fc.nat(),
    generation: fc.nat(),
    level: fc.constantFrom(0 as const, 1 as const, 2 as const),
    kept: blocks,
    free: blocks,
    fences,
    gifts: fc.array(
      fc.record({ to: host, ask: fc.string({ maxLength: 20 }), blocks }, { noNullPrototype: true }),
      { maxLength: 3 },
    ),
  },
  { noNullPrototype: true },
)

describe('what a host says of a pool', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(word, host, fc.boolean(), (word, vote, founded) => {
        const said = { vote, founded, word }
        assert.deepEqual(readSaid(writeSaid(said)), said)
        const disk = { generation: 1, kept: word.kept, free: word.free, fences: word.fences, heir: {} }
        assert.deepEqual(readKept(writeKept({ vote, founded, disk })), { vote, founded, disk })
      }),
      { numRuns: 50 },
    )
  })

  it('is small, and is dropped when it is nonsense', () => {
    const free = Array.from({ length: 4096 }, (_, block) => block)
    const gifts = free.map(block => ({ to: 'f'.repeat(32), ask: '1764000000 1', blocks: [block] }))
    const said = {
      founded: true,
      word: { life: 1, generation: 0, level: 2 as const, kept: [], free, fences: {}, gifts },
    }
    const text = writeSaid(said)
    assert.ok(text.length < 32 * 1024)
    assert.equal(readSaid(text.replace('[[0,4096]]', '[[1,4096]]')), undefined)
    assert.equal(readSaid(''), undefined)
    assert.throws(() => readKept('{}'), TypeError)
    const odd = text.replace('"fences":{}', '"fences":{"kept":{"generation":1,"life":1}}')
    assert.equal(readSaid(odd), undefined, 'what is said again would be taken for blocks')
  })
})
