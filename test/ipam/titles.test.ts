import assert from 'node:assert/strict'
import fc from 'fast-check'
import { emptyDisk, type Law } from '../../ipam/blocks.ts'
import { type Effect, type Said, Share } from '../../ipam/share.ts'
import { founderOf, merged, ownerOf } from '../../ipam/titles.ts'

const BLOCKS = 8
const hosts = ['a', 'b', 'c'].map(letter => letter.repeat(32)) as [string, string, string]
const [A, B, ROGUE] = hosts
/** Nobody was forgotten, and nobody was away. */
const law: Law = { isForgotten: () => false, mayBeLost: () => false, heirOf: () => undefined }

function settle(share: Share, effects: Effect[]): void {
  for (const effect of effects) if (effect.type === 'persist') settle(share, share.persisted(effect.version))
}

function talk(shares: readonly Share[]): void {
  for (let round = 0; round < 6; round++)
    for (const from of shares)
      for (const to of shares)
        if (from !== to) {
          settle(to, to.hear(from.self, structuredClone(from.said())))
          settle(to, to.agree(from.self))
        }
}

/** A has the pool, B a block of it. The third one has only voted. */
function three(): [Share, Share, Share] {
  const all = hosts.map(host => new Share(host, 7, BLOCKS, { founded: false, disk: emptyDisk() }, 0, law))
  for (const share of all) settle(share, share.meet(hosts.filter(host => host !== share.self)))
  const [a, b] = all as [Share, Share, Share]
  talk(all)
  settle(a, a.want(true, 1))
  talk(all)
  settle(b, b.want(true, 1))
  talk(all)
  return all as [Share, Share, Share]
}

const blocks = fc.uniqueArray(fc.nat(BLOCKS - 1), { maxLength: BLOCKS })
const anybody = fc.constantFrom(...hosts)
const lie = fc.record({
  vote: anybody,
  founded: fc.boolean(),
  word: fc.record({
    life: fc.integer({ min: 7, max: 9 }),
    generation: fc.nat(3),
    level: fc.constant(2 as const),
    kept: blocks,
    free: blocks,
    given: fc.dictionary(anybody, blocks),
    fences: fc.dictionary(anybody, fc.record({ generation: fc.nat(2 ** 20), life: fc.nat(9) })),
    gifts: fc.array(fc.record({ to: anybody, ask: fc.constantFrom('7 1', '7 2', '7 3'), blocks })),
  }),
})

describe('whose a block is', () => {
  it('is what its owners gave away, whatever a host says that owns nothing', () =>
    fc.assert(
      fc.property(fc.array(lie, { minLength: 1, maxLength: 6 }), lies => {
        const [a, b] = three()
        const owners = (share: Share) => Array.from({ length: BLOCKS }, (_, block) => share.owner(block))
        assert.deepEqual([[...a.usable], [...b.usable]], [[0], [1]])
        const before = owners(a)
        assert.deepEqual(before, [A, B, ...new Array(BLOCKS - 2).fill(A)])
        for (const said of lies)
          for (const share of [a, b]) settle(share, share.hear(ROGUE, structuredClone(said) as Said))
        for (const share of [a, b]) assert.deepEqual(owners(share), before)
        talk([a, b])
        settle(b, b.want(true, 2))
        talk([a, b])
        assert.deepEqual(
          [[...a.usable], [...b.usable]],
          [[0], [1, 2]],
          'it asks who owns, and gets what is its own',
        )
      }),
      { numRuns: 200 },
    ))

  it('goes with gifts, and to whoever took the place of a host that was forgotten', () => {
    const given = (host: string) => ({ a: { b: [1, 2] }, c: { b: [2], d: [0] } })[host]
    const titles = { founder: 'a', given, heirOf: () => undefined }
    assert.deepEqual(
      [0, 1, 2].map(block => ownerOf(block, titles)),
      ['a', 'b', 'b'],
    )
    const heirOf = (host: string) => (host === 'a' ? 'c' : undefined)
    assert.deepEqual(
      [0, 1, 2].map(block => ownerOf(block, { ...titles, heirOf })),
      ['d', 'c', 'b'],
    )
    const ring = (host: string) => ({ a: { b: [0] }, b: { a: [0] } })[host]
    assert.ok(ownerOf(0, { ...titles, given: ring }), 'a ring has an end')
    assert.deepEqual(merged({ a: [1, 2], b: [3] }, { c: [2] }), { a: [1], b: [3], c: [2] })
  })

  it('begins with the one that this host voted for, or else most others', () => {
    assert.equal(founderOf('x', ['y', 'y']), 'x')
    assert.equal(founderOf(undefined, ['z', 'y', undefined, 'y']), 'y')
    assert.equal(founderOf(undefined, []), undefined)
  })
})
