import assert from 'node:assert/strict'
import fc from 'fast-check'
import { type Divided, Prefixes } from '../../bin/cluster/prefixes.ts'
import { overlaps, parsePrefix } from '../../ipam/prefix.ts'
import { type Change, type Entry, kinds } from '../../vxlan-fdb/index.ts'

const POOL = '10.93.0.0/16'
const SIX = 'fd00:93::/48'

/** One host, and what others say to it. */
class Bed {
  own: Divided[] = [{ network: 'pods', pool: POOL }]
  readonly there = new Set<string>(['a', 'b', 'c'])
  readonly veterans = new Set<string>()
  settled = true
  readonly disk = new Map<string, string>()
  readonly written: Entry[] = []
  readonly sentences: string[] = []
  prefixes = this.open()

  open(): Prefixes {
    return new Prefixes({
      self: 'me',
      own: () => this.own,
      isThere: host => this.there.has(host),
      isVeteran: host => this.veterans.has(host),
      isSettled: () => this.settled,
      write: entries => this.written.push(...entries),
      held: [...this.disk],
      keep: (contested, host) => {
        if (host === undefined) this.disk.delete(contested)
        else this.disk.set(contested, host)
      },
      nameOf: host => host.toUpperCase(),
      log: {
        debug() {},
        info() {},
        warn() {},
        error: (_: object, text: string) => this.sentences.push(text),
      },
    })
  }

  /** Somebody says what is its own; nothing when it takes that back. */
  say(origin: string, prefix?: string, pool = POOL): Divided[] {
    const value = prefix === undefined ? undefined : Buffer.from(prefix)
    const change: Change = { network: 'pods', kind: kinds.prefix, key: pool, origin, value }
    return this.prefixes.hear([change])
  }

  elsewhere(pool = POOL): Record<string, string> {
    return Object.fromEntries(this.prefixes.elsewhere('pods', pool))
  }
}

describe('prefixes that hosts were given by somebody else', () => {
  let bed: Bed
  beforeEach(() => {
    bed = new Bed()
  })

  it('of other hosts are the ways to them, in both families', () => {
    bed.own.push({ network: 'pods', pool: SIX })
    assert.deepEqual(bed.say('a', '10.93.1.0/24'), [bed.own[0]])
    bed.say('b', '10.93.2.0/24')
    bed.say('a', 'fd00:93:0:1::/64', SIX)
    assert.deepEqual(bed.elsewhere(), { '10.93.1.0/24': 'a', '10.93.2.0/24': 'b' })
    assert.deepEqual(bed.elsewhere(SIX), { 'fd00:93:0:1::/64': 'a' })
    bed.say('a', '10.93.7.0/24')
    bed.say('b')
    assert.deepEqual(bed.elsewhere(), { '10.93.7.0/24': 'a' })
  })

  it('of this host are told when they come, change and go, and once only', () => {
    bed.prefixes.refresh()
    assert.deepEqual(bed.prefixes.entries(), [])
    const said = () => bed.written.splice(0).map(({ key, value }) => [key, value?.toString()])
    bed.own = [
      { network: 'pods', pool: POOL, prefix: '10.93.9.0/24' },
      { network: 'pods', pool: SIX, prefix: 'fd00:93:0:9::/64' },
    ]
    bed.prefixes.refresh()
    bed.prefixes.refresh()
    assert.deepEqual(said(), [
      [POOL, '10.93.9.0/24'],
      [SIX, 'fd00:93:0:9::/64'],
    ])
    bed.own = [{ network: 'pods', pool: POOL, prefix: '10.93.8.0/24' }]
    bed.prefixes.refresh()
    assert.deepEqual(said(), [
      [SIX, undefined],
      [POOL, '10.93.8.0/24'],
    ])
    assert.equal(bed.prefixes.entries().length, 1)
  })

  it('that are no prefix, or outside of the pool, are nothing', () => {
    for (const text of ['', 'x', '10.93.1.0', '10.94.0.0/24', '10.0.0.0/8', '10.93.1.1/24', 'fd00:93::/64'])
      bed.say('a', text)
    bed.prefixes.hear([
      {
        network: 'pods',
        kind: kinds.prefix,
        key: 'no pool',
        origin: 'a',
        value: Buffer.from('10.93.1.0/24'),
      },
    ])
    assert.deepEqual(bed.elsewhere(), {})
  })

  it('that somebody made up are nothing, whatever they look like', () => {
    const odd = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'0123456789./:f ') }))
    fc.assert(
      fc.property(fc.string(), odd, odd, (network, key, text) => {
        bed.prefixes.hear([{ network, kind: kinds.prefix, key, origin: 'a', value: Buffer.from(text) }])
        bed.say('b', text)
        for (const each of Object.keys(bed.elsewhere())) assert.match(each, /^10\.93\./)
      }),
    )
  })

  it('that overlap this host’s own count for nothing here', () => {
    bed.own = [{ network: 'pods', pool: POOL, prefix: '10.93.9.0/24' }]
    bed.say('a', '10.93.9.0/24')
    bed.say('b', '10.93.8.0/23')
    bed.say('c', '10.93.10.0/24')
    assert.deepEqual(bed.elsewhere(), { '10.93.10.0/24': 'c' })
    assert.equal(bed.sentences.length, 2)
    assert.match(bed.sentences[0] ?? '', /^A says that 10\.93\.9\.0\/24 is its own, and ME says so/)
    const address = Buffer.from([10, 93, 9, 5])
    assert.deepEqual(
      ['me', 'a', 'b'].map(host => bed.prefixes.owns('pods', address, host)),
      [true, false, false],
    )
  })

  it('that overlap each other are of who was first, through restarts, until he takes it back', () => {
    bed.say('b', '10.93.1.0/24')
    bed.say('a', '10.93.0.0/20')
    assert.deepEqual(bed.elsewhere(), { '10.93.1.0/24': 'b' })
    bed.settled = false
    bed.prefixes = bed.open()
    bed.say('a', '10.93.0.0/20')
    assert.deepEqual(bed.elsewhere(), { '10.93.0.0/20': 'a' }, 'nobody else is heard yet')
    bed.say('b', '10.93.1.0/24')
    assert.deepEqual(bed.elsewhere(), { '10.93.1.0/24': 'b' })
    bed.settled = true
    bed.say('b')
    assert.deepEqual(bed.elsewhere(), { '10.93.0.0/20': 'a' })
    assert.deepEqual([...bed.disk], [])
  })

  it('of a node that is gone are those of the next that is given them, who keeps them when the first comes back', () => {
    bed.say('a', '10.93.1.0/24')
    bed.there.delete('a')
    assert.deepEqual(bed.prefixes.met(), [])
    assert.deepEqual(bed.elsewhere(), { '10.93.1.0/24': 'a' }, 'its pods may well live')
    bed.say('b', '10.93.1.0/24')
    assert.deepEqual(bed.elsewhere(), { '10.93.1.0/24': 'b' })
    bed.there.add('a')
    assert.deepEqual(bed.prefixes.met(), bed.own)
    assert.deepEqual(bed.elsewhere(), { '10.93.1.0/24': 'b' })
  })

  it('of a host that is there are its own, whatever is said later', () => {
    bed.say('c', '10.93.1.0/24')
    bed.say('a', '10.93.1.0/24')
    bed.say('c', '10.93.1.0/24')
    const address = Buffer.from([10, 93, 1, 5])
    assert.equal(bed.prefixes.owns('pods', address, 'a'), true)
    assert.equal(bed.prefixes.owns('pods', address, 'c'), false)
  })

  it('heard in no order are of whom an earlier life knew', () => {
    bed.settled = false
    bed.veterans.add('b')
    bed.say('a', '10.93.1.0/24')
    bed.say('b', '10.93.1.0/24')
    assert.deepEqual(bed.elsewhere(), { '10.93.1.0/24': 'b' })
  })

  it('that count never overlap, whatever is said, and one that overlaps nothing always counts', () => {
    const prefix = fc
      .tuple(fc.integer({ min: 17, max: 28 }), fc.integer({ min: 0, max: 0xffff }))
      .map(([length, at]) => {
        const low = (at >> (32 - length)) << (32 - length)
        return `10.93.${low >> 8}.${low & 255}/${length}`
      })
    const say = fc.tuple(fc.constantFrom(...'abcdefgh'), fc.option(prefix, { nil: undefined }), fc.boolean())
    fc.assert(
      fc.property(fc.array(say, { maxLength: 40 }), all => {
        const each = new Bed()
        const said = new Map<string, string>()
        for (const [host, text, isThere] of all) {
          each.there[isThere ? 'add' : 'delete'](host)
          each.say(host, text)
          each.prefixes.met()
          if (text) said.set(host, text)
          else said.delete(host)
        }
        const counts = Object.keys(each.elsewhere())
        const clash = (one: string, other: string) => overlaps(parsePrefix(one, ''), parsePrefix(other, ''))
        for (const one of counts) assert.ok(counts.every(other => one === other || !clash(one, other)))
        for (const one of said.values())
          assert.ok(
            counts.some(other => clash(one, other)),
            one,
          )
      }),
    )
  })
})
