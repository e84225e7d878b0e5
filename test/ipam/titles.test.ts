import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import fc from 'fast-check'
import { type Deed, emptyDisk, type Law } from '../../ipam/blocks.ts'
import { Blocks } from '../../ipam/blocks-step.ts'
import { readSaid, writeSaid } from '../../ipam/said.ts'
import { type Effect, type Said, Share } from '../../ipam/share.ts'
import { filed, founderOf, ownerOf } from '../../ipam/titles.ts'

const BLOCKS = 8
const hosts = ['a', 'b', 'c'].map(letter => letter.repeat(32)) as [string, string, string]
const [A, B, ROGUE] = hosts
/** Nobody was forgotten, and nobody was away. A keyed hash in place of a signature. */
const lawOf = (self: string): Law => ({
  isForgotten: () => false,
  mayBeLost: () => false,
  heirOf: () => undefined,
  sign: text => hash('sha1', `${self} ${text}`),
  isSigned: (host, text, seal) => seal === hash('sha1', `${host} ${text}`),
})

function settle(share: Share, effects: Effect[]): void {
  for (const effect of effects) if (effect.type === 'persist') settle(share, share.persisted(effect.version))
}

function talk(shares: readonly Share[]): void {
  for (let round = 0; round < 6; round++)
    for (const from of shares)
      for (const to of shares)
        if (from !== to) {
          settle(to, to.hear(from.self, readSaid(writeSaid(from.said())) as Said))
          settle(to, to.agree(from.self))
        }
}

/** A has the pool, B a block of it. The third one has only voted. */
function three(law = lawOf): [Share, Share, Share] {
  const all = hosts.map(
    host => new Share(host, 7, BLOCKS, { founded: false, disk: emptyDisk() }, 0, law(host)),
  )
  for (const share of all) settle(share, share.meet(hosts.filter(host => host !== share.self)))
  const [a, b] = all as [Share, Share, Share]
  talk(all)
  settle(a, a.want(true, 1))
  talk(all)
  settle(b, b.want(true, 1))
  talk(all)
  return all as [Share, Share, Share]
}

/** A is told that B is gone for good; B comes back and hears of it. */
const lawOfForgotten = (self: string): Law => ({
  ...lawOf(self),
  isForgotten: host => host === B,
  mayBeLost: () => true,
  // Nobody keeps who succeeded him.
  heirOf: host => (host === B && self !== B ? A : undefined),
})

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
    deeds: fc.array(fc.record({ from: anybody, to: anybody, blocks, seal: fc.constantFrom('', 'x') })),
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
        assert.deepEqual([...a.elsewhere], [[1, B]], 'no way leads to who lies')
        assert.deepEqual([...b.elsewhere], [[0, A]])
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

  it('is known to a founder whose disk is an old one by what it signed since, and by nothing else', () =>
    fc.assert(
      fc.property(lie, lie, (one, other) => {
        const disk = { ...emptyDisk(), free: [1, 2, 3, 4] }
        const a = new Blocks(A, 9, disk, 0, lawOf(A))
        a.founder = A
        a.step({ type: 'members', hosts: [B, ROGUE] })
        const b = new Blocks(B, 7, emptyDisk(), 0, lawOf(B))
        const text = `${A} ${B} 2,3`
        const deed: Deed = { from: A, to: B, blocks: [3, 2], seal: hash('sha1', `${A} ${text}`) }
        const word = { ...b.word(), kept: [2, 3], deeds: [deed] }
        a.step({ type: 'heard', from: B, word })
        for (const { word } of [one, other])
          a.step({ type: 'heard', from: ROGUE, word: structuredClone(word) as never })
        for (const host of [B, ROGUE]) a.step({ type: 'agreed', with: host })
        assert.deepEqual([a.level, a.disk.free], [2, [1, 4]])
      }),
      { numRuns: 200 },
    ))

  it('goes with gifts, and to whoever took the place of a host that was forgotten', () => {
    const deeds = new Map([
      ['a 1', 'b'],
      ['a 2', 'b'],
      ['c 2', 'b'],
      ['c 0', 'd'],
    ])
    const receiver = (from: string, block: number) => deeds.get(`${from} ${block}`)
    const titles = { founder: 'a', receiver, heirOf: () => undefined }
    assert.deepEqual(
      [0, 1, 2].map(block => ownerOf(block, titles)),
      ['a', 'b', 'b'],
    )
    const heirOf = (host: string) => (host === 'a' ? 'c' : undefined)
    assert.deepEqual(
      [0, 1, 2].map(block => ownerOf(block, { ...titles, heirOf })),
      ['d', 'c', 'b'],
    )
    const ring = (from: string) => (from === 'a' ? 'b' : 'a')
    assert.ok(ownerOf(0, { ...titles, receiver: ring }), 'a ring has an end')
  })

  it('is elsewhere while its host lives, and after it came back as one that was forgotten', () => {
    const all = three(lawOfForgotten)
    const [a, b, c] = all
    assert.deepEqual([...c.elsewhere].sort(), [
      [0, A],
      [1, B],
    ])
    settle(a, a.forget(B))
    talk([a, c])
    assert.deepEqual([...c.elsewhere], [[0, A]])
    assert.deepEqual([...a.elsewhere], [])
    talk(all)
    assert.deepEqual([...b.usable], [2], 'though A has to give what was its own, too')
    assert.deepEqual([...a.elsewhere], [[2, B]])
    assert.deepEqual([...c.elsewhere].sort(), [
      [0, A],
      [2, B],
    ])
  })

  it('is told by one deed of each giver, however often he gave', () => {
    const deed = (blocks: number[]) => ({ from: A, to: B, blocks, seal: '' })
    assert.deepEqual(filed(filed([], deed([1])), deed([1, 2])), [deed([1, 2])])
    assert.deepEqual(filed([deed([1])], deed([2])).length, 2)
    const [a, b] = three()
    settle(b, b.want(true, 3))
    talk([a, b])
    assert.deepEqual(
      b.said().word.deeds?.map(({ from, blocks }) => [from, blocks]),
      [[A, [1, 2, 3]]],
    )
  })

  it('begins with the one that this host voted for, or else most others', () => {
    assert.equal(founderOf('x', ['y', 'y']), 'x')
    assert.equal(founderOf(undefined, ['z', 'y', undefined, 'y']), 'y')
    assert.equal(founderOf(undefined, []), undefined)
  })
})
