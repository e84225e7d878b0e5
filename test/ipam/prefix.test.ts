import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Refused } from '../../core/errors.ts'
import {
  contains,
  formatAddress,
  formatPrefix,
  hostable,
  includes,
  merged,
  overlaps,
  parseAddress,
  parsePrefix,
} from '../../ipam/prefix.ts'

const value4 = fc.bigInt({ min: 0n, max: (1n << 32n) - 1n })
/** Many groups of zeros, for they are what RFC 5952 is about. */
const value6 = fc
  .array(fc.oneof(fc.constant(0n), fc.constant(1n), fc.bigInt({ min: 0n, max: 0xffffn })), {
    minLength: 8,
    maxLength: 8,
  })
  .map(groups => groups.reduce((value, group) => (value << 16n) | group, 0n))

describe('addresses as numbers', () => {
  it('are read as they are written', () =>
    fc.assert(
      fc.property(value4, value6, (four, six) => {
        assert.deepEqual(parseAddress(formatAddress(4, four)), { family: 4, value: four })
        assert.deepEqual(parseAddress(formatAddress(6, six)), { family: 6, value: six })
      }),
    ))

  it('are written as the URL standard does', () =>
    fc.assert(
      fc.property(value4, value6, (four, six) => {
        assert.equal(formatAddress(4, four), new URL(`http://${four}`).hostname)
        const groups = six.toString(16).padStart(32, '0').match(/.{4}/g) ?? []
        assert.equal(`[${formatAddress(6, six)}]`, new URL(`http://[${groups.join(':')}]`).hostname)
      }),
    ))

  for (const [text, expected] of [
    ['fd00::10.0.0.1', 'fd00::a00:1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['10:0:1:0:0:1:1:1', '10:0:1::1:1:1'],
  ] as const) {
    it(`reads ${text} as ${expected}`, () => {
      const address = parseAddress(text)
      assert.equal(address && formatAddress(6, address.value), expected)
    })
  }

  for (const text of [
    '',
    '10.0.0',
    '10.0.0.01',
    '10.0.0.256',
    ' 10.0.0.1',
    '10.0.0.1/24',
    'fe80::1%eth0',
    'fd00::1::',
    '[::1]',
  ]) {
    it(`takes "${text}" for no address`, () => assert.equal(parseAddress(text), undefined))
  }
})

describe('prefixes', () => {
  it('drop host bits', () => {
    assert.equal(formatPrefix(parsePrefix('10.1.2.3/20', 'subnet')), '10.1.0.0/20')
    assert.equal(formatPrefix(parsePrefix('FD00:1::5/64', 'subnet')), 'fd00:1::/64')
  })

  for (const text of [
    '10.0.0.0',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/024',
    '10.00.0.0/8',
    'fd00::/129',
    'fd00::/064',
    'fd00::%1/64',
    'x/8',
    '10.0.0.0/8/8',
  ]) {
    it(`refuse "${text}"`, () => assert.throws(() => parsePrefix(text, 'subnet'), Refused))
  }

  it('contain and overlap', () => {
    const [a, b, c, d] = ['10.0.0.0/8', '10.255.255.0/24', '11.0.0.0/8', '::/0'].map(text =>
      parsePrefix(text, 'subnet'),
    )
    assert.ok(a && b && c && d)
    assert.ok(contains(a, b) && !contains(b, a) && overlaps(b, a) && overlaps(a, a))
    assert.ok(!overlaps(a, c) && !overlaps(a, d))
    assert.ok(
      includes(b, { family: 4, value: b.first + 255n }) && !includes(b, { family: 4, value: b.first + 256n }),
    )
  })

  it('know which addresses are no host’s', () => {
    const unfit = (text: string) => {
      const pool = parsePrefix(text, 'subnet')
      return [0n, 1n, 2n, 3n].filter(offset => !hostable(pool, pool.first + offset)).map(Number)
    }
    assert.deepEqual(unfit('10.0.0.0/30'), [0, 3])
    assert.deepEqual(unfit('10.0.0.0/31'), [])
    assert.deepEqual(unfit('10.0.0.0/32'), [])
    assert.deepEqual(unfit('fd00::/126'), [0])
    assert.deepEqual(unfit('fd00::/127'), [])
  })
})

describe('prefixes that are merged', () => {
  const whole = parsePrefix('10.1.0.0/16', 'pool')
  const block = (at: number) => ({ ...whole, first: whole.first + BigInt(at) * 64n, length: 26 })
  const some = fc.uniqueArray(fc.nat(63), { maxLength: 64 })

  it('have the same addresses, and no two of them are halves of one', () =>
    fc.assert(
      fc.property(some, blocks => {
        const all = merged(blocks.map(block))
        const isIn = (at: number) => all.filter(each => contains(each, block(at))).length
        for (let at = 0; at < 64; at++) assert.equal(isIn(at), blocks.includes(at) ? 1 : 0)
        for (const each of all) {
          const above = { ...each, length: each.length - 1 }
          const both = all.filter(other => other.length === each.length && overlaps(other, above))
          assert.ok(both.length === 1 || (above.first & ((1n << BigInt(32 - above.length)) - 1n)) !== 0n)
        }
      }),
    ))

  it('are few where blocks lie together', () => {
    const told = (...blocks: number[]) => merged(blocks.map(block)).map(formatPrefix)
    assert.deepEqual(told(3, 2, 1, 0), ['10.1.0.0/24'])
    assert.deepEqual(told(1, 2), ['10.1.0.64/26', '10.1.0.128/26'])
    assert.deepEqual(told(), [])
  })
})
