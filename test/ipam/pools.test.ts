import assert from 'node:assert/strict'
import { Refused } from '../../core/errors.ts'
import { choosePool, explicitPool, poolId } from '../../ipam/pools.ts'
import { contains, formatPrefix, overlaps, type Prefix, parsePrefix } from '../../ipam/prefix.ts'

const prefix = (text: string) => parsePrefix(text, 'prefix')

function all(space: 'local' | 'global', family: 4 | 6, limit = 1000): Prefix[] {
  const given: Prefix[] = []
  try {
    while (given.length < limit) given.push(choosePool(space, family, 'host', given))
  } catch (error) {
    assert.ok(error instanceof Refused)
  }
  return given
}

describe('default pools', () => {
  it('of one host are 256, none of them twice, docker0’s and cloud providers’ last', () => {
    const given = all('local', 4)
    assert.equal(given.length, 256)
    assert.ok(given.every((one, n) => given.slice(n + 1).every(other => !overlaps(one, other))))
    assert.deepEqual(
      [0, 1, 16, 207, 208, 224, 240].map(n => formatPrefix(given[n] as Prefix)),
      [
        '172.30.0.0/20',
        '172.30.16.0/20',
        '172.29.0.0/20',
        '172.18.240.0/20',
        '192.168.0.0/20',
        '172.31.0.0/20',
        '172.17.0.0/20',
      ],
    )
  })

  it('of many hosts are no host’s local ones', () => {
    const local = all('local', 4)
    const global = all('global', 4)
    assert.equal(global.length, 256)
    assert.ok(global.every(one => local.every(other => !overlaps(one, other))))
  })

  it('are clear of this host’s routes, but for its default route', () => {
    const routes = ['0.0.0.0/0', '172.16.0.0/12', '192.168.1.0/24', '::/0'].map(prefix)
    assert.equal(formatPrefix(choosePool('local', 4, 'host', routes)), '192.168.16.0/20')
  })

  it('of IPv6 are /64 of a unique local /48 that differs from host to host', () => {
    const [first, second] = all('local', 6, 2)
    const other = choosePool('local', 6, 'another host', [])
    assert.ok(first && second)
    assert.ok(contains(prefix('fd00::/8'), first) && first.length === 64)
    assert.ok(contains(prefix(`${formatPrefix(first).split('/')[0]}/48`), second))
    assert.ok(!overlaps(first, second) && !overlaps(first, other))
    assert.deepEqual(choosePool('local', 6, 'host', []), first, 'the same after a restart')
  })
})

describe('asked-for pools', () => {
  it('have an id that tells all that makes them', () => {
    assert.equal(poolId('local', prefix('10.1.0.0/16')), 'local/ipv4/10.1.0.0/16')
    assert.equal(
      poolId('global', prefix('fd00::/64'), prefix('fd00::100/120')),
      'global/ipv6/fd00::/64/fd00::100/120',
    )
  })

  it('are masked', () => {
    const { pool, range } = explicitPool('10.1.2.3/16', '10.1.128.7/17')
    assert.deepEqual(
      [pool, range].map(one => one && formatPrefix(one)),
      ['10.1.0.0/16', '10.1.128.0/17'],
    )
  })

  for (const [pool, range, words] of [
    ['10.1.0.0', '', /subnet "10.1.0.0" is no prefix: expected one like/],
    ['10.1.0.0/16', '10.2.0.0/24', /ip-range 10.2.0.0\/24 is not inside subnet 10.1.0.0\/16/],
    ['10.1.0.0/16', 'fd00::/64', /not inside/],
    ['10.1.0.0/16', '10.0.0.0/8', /not inside/],
    ['0.0.0.0/0', '', /no container can use/],
    ['127.0.0.0/24', '', /no container can use/],
    ['224.1.0.0/16', '', /no container can use/],
    ['ff02::/64', '', /no container can use/],
  ] as const) {
    it(`refuse ${pool} ${range}`, () => assert.throws(() => explicitPool(pool, range), words))
  }
})
