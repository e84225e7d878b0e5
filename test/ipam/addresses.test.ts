import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Addresses } from '../../ipam/addresses.ts'
import { formatAddress, hostable, parseAddress, parsePrefix } from '../../ipam/prefix.ts'

const book = (pool: string, range = pool) =>
  new Addresses<true>(parsePrefix(pool, 'pool'), parsePrefix(range, 'range'))

function takeNext(addresses: Addresses<true>): string | undefined {
  const value = addresses.next()
  if (value === undefined) return undefined
  addresses.take(value, true)
  return formatAddress(addresses.family, value)
}

const numberOf = (text: string) => parseAddress(text)?.value ?? -1n

describe('addresses of a pool', () => {
  it('are all given once, the network’s own and broadcast left out', () => {
    const addresses = book('10.0.0.0/29')
    const given = Array.from({ length: 7 }, () => takeNext(addresses))
    assert.deepEqual(given, [
      '10.0.0.1',
      '10.0.0.2',
      '10.0.0.3',
      '10.0.0.4',
      '10.0.0.5',
      '10.0.0.6',
      undefined,
    ])
  })

  it('come from the range, its own first address last', () => {
    const addresses = book('10.0.0.0/24', '10.0.0.128/30')
    const given = Array.from({ length: 5 }, () => takeNext(addresses))
    assert.deepEqual(given, ['10.0.0.129', '10.0.0.130', '10.0.0.131', '10.0.0.128', undefined])
  })

  for (const [pool, expected] of [
    ['10.0.0.4/31', ['10.0.0.5', '10.0.0.4', undefined]],
    ['10.0.0.4/32', ['10.0.0.4', undefined]],
    ['fd00::/127', ['fd00::1', 'fd00::', undefined]],
    ['fd00::/64', ['fd00::1', 'fd00::2', 'fd00::3']],
  ] as const) {
    it(`of ${pool} are ${expected.join(', ')}`, () => {
      const addresses = book(pool)
      assert.deepEqual(
        Array.from(expected, () => takeNext(addresses)),
        expected,
      )
    })
  }

  it('skip those that were asked for by name', () => {
    const addresses = book('10.0.0.0/24')
    addresses.take(numberOf('10.0.0.1'), true)
    addresses.take(numberOf('10.0.0.3'), true)
    assert.deepEqual([takeNext(addresses), takeNext(addresses)], ['10.0.0.2', '10.0.0.4'])
  })

  it('are given again in the order of their release, when no other is left', () => {
    const addresses = book('10.0.0.0/29')
    for (let n = 0; n < 4; n++) takeNext(addresses)
    for (const text of ['10.0.0.3', '10.0.0.1', '10.0.0.2']) addresses.free(numberOf(text))
    const given = Array.from({ length: 6 }, () => takeNext(addresses))
    assert.deepEqual(given, ['10.0.0.5', '10.0.0.6', '10.0.0.3', '10.0.0.1', '10.0.0.2', undefined])
  })

  it('begin behind the one that was given last before a restart', () => {
    const addresses = book('10.0.0.0/29')
    addresses.take(numberOf('10.0.0.5'), true)
    addresses.startAfter(numberOf('10.0.0.5'))
    assert.deepEqual([takeNext(addresses), takeNext(addresses)], ['10.0.0.6', '10.0.0.1'])
  })

  it('outside the range can be taken and are never given', () => {
    const addresses = book('10.0.0.0/24', '10.0.0.128/31')
    addresses.take(numberOf('10.0.0.5'), true)
    addresses.free(numberOf('10.0.0.5'))
    assert.deepEqual(
      [takeNext(addresses), takeNext(addresses), takeNext(addresses)],
      ['10.0.0.129', '10.0.0.128', undefined],
    )
  })

  it('are found without looking at 60 000 that are taken', () => {
    const addresses = book('10.0.0.0/16')
    const { first } = addresses.pool
    for (let n = 1n; n <= 60_000n; n++) addresses.take(first + n, true)
    addresses.startAfter(first + 60_000n)
    // Looking at each taken one would be nearly two thousand million looks: longer than mocha waits.
    for (let n = 0n; n < 30_000n; n++) {
      addresses.free(first + n + 1n)
      addresses.take(addresses.next() ?? -1n, true)
    }
  })

  it('do what a naive book does, whatever is asked', () => {
    const pool = parsePrefix('10.0.0.0/27', 'pool')
    const range = parsePrefix('10.0.0.8/29', 'range')
    const value = fc.bigInt({ min: 0n, max: 31n }).map(offset => pool.first + offset)
    const step = fc.oneof(
      fc.constant({ verb: 'next' as const, value: 0n }),
      fc.record({ verb: fc.constantFrom('take' as const, 'free' as const), value }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), steps => {
        const addresses = new Addresses<true>(pool, range)
        const taken = new Set<bigint>()
        for (const { verb, value } of steps) {
          if (verb === 'next') {
            const free = Array.from({ length: 8 }, (_, n) => range.first + BigInt(n)).filter(
              one => !taken.has(one),
            )
            const next = addresses.next()
            assert.equal(next === undefined, free.length === 0)
            if (next === undefined) continue
            assert.ok(free.includes(next) && hostable(pool, next))
            addresses.take(next, true)
            taken.add(next)
          } else if (verb === 'take') {
            addresses.take(value, true)
            taken.add(value)
          } else {
            addresses.free(value)
            taken.delete(value)
          }
        }
        assert.deepEqual(new Set(addresses.grants().map(([one]) => one)), taken)
      }),
    )
  })
})
