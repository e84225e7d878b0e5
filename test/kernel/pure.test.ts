import assert from 'node:assert/strict'
import { NetlinkError } from '@tsnet/netlink'
import fc from 'fast-check'
import type { FieldType, SetRow, Step } from '../../core/rows.ts'
import { blame } from '../../kernel/blame.ts'
import { digest } from '../../kernel/digest.ts'
import { decodeElement, encodeElement, fromKernel, identity, pair, toKernel } from '../../kernel/element.ts'
import { references } from '../../kernel/fakerules.ts'
import { decodeFields, encodeFields, typeId, typesOf } from '../../kernel/fields.ts'
import { inPlace, insertion, position } from '../../kernel/iptables.ts'
import { ordered } from '../../kernel/order.ts'
import { hookOf } from '../../kernel/requests.ts'
import { compile } from '../../kernel/rule.ts'

const word: { [type in FieldType]: fc.Arbitrary<string> } = {
  ipv4_addr: fc.ipV4(),
  ipv6_addr: fc
    .ipV6()
    .map(
      each => decodeFields(['ipv6_addr'], encodeFields(['ipv6_addr'], [each], false) as never)[0] as string,
    ),
  inet_proto: fc.constantFrom('tcp', 'udp', 'sctp', '47'),
  inet_service: fc.nat(65535).map(String),
  vni: fc.nat(0xffffff).map(String),
  ifname: fc.stringMatching(/^[a-z0-9-]{1,15}$/),
}
const types = fc.array(fc.constantFrom(...(Object.keys(word) as FieldType[])), { minLength: 1, maxLength: 5 })
const typed = types.chain(types => fc.tuple(fc.constant(types), fc.tuple(...types.map(type => word[type]))))

describe('kernel: fields of set elements', () => {
  it('come back as they went', () => {
    fc.assert(
      fc.property(typed, ([types, words]) => {
        const span = encodeFields(types, words, false)
        assert.ok(span)
        assert.deepEqual(decodeFields(types, span), words)
      }),
    )
  })

  it('are known again by the number that nft gives their types', () => {
    fc.assert(fc.property(types, types => assert.deepEqual(typesOf(typeId(types)), types)))
  })

  it('lie as the kernel wants them: padded to four bytes, names to sixteen', () => {
    const hex = (types: FieldType[], words: string[]) =>
      Buffer.from(encodeFields(types, words, true)?.from ?? []).toString('hex')
    assert.equal(
      hex(['ipv4_addr', 'inet_proto', 'inet_service'], ['10.0.0.1', 'tcp', '80']),
      '0a0000010600000000500000',
    )
    assert.equal(hex(['inet_service'], ['80']), '0050')
    assert.equal(hex(['ifname'], ['"eth0"']), '65746830000000000000000000000000')
  })

  it('refuse what does not fit', () => {
    for (const [type, wrong] of [
      ['ipv4_addr', '10.0.0.256'],
      ['ipv4_addr', '10.0.0.0/33'],
      ['ipv6_addr', '10.0.0.1'],
      ['inet_service', '65536'],
      ['inet_service', 'http'],
      ['ifname', 'a-name-of-sixteen'],
      ['ifname', ''],
    ] as const) {
      assert.equal(encodeFields([type], [wrong], true), undefined, wrong)
    }
    assert.equal(encodeFields(['ipv4_addr'], ['10.0.0.0/8'], false), undefined)
    assert.equal(encodeFields(['ipv4_addr', 'ifname'], ['10.0.0.1'], false), undefined)
  })
})

describe('kernel: elements', () => {
  const interval: SetRow = { kind: 'set', name: 's', type: ['ipv4_addr'], interval: true }

  it('are intervals of two ends, in whatever order those come', () => {
    const keys = [
      '0.0.0.0/8',
      '10.0.0.0/24',
      '10.0.1.0/24',
      '10.0.2.0-10.0.2.9',
      '192.0.2.1',
      '255.255.255.0/24',
    ]
    const encoded = keys.map(key => encodeElement(interval, { kind: 'element', set: 's', key: [key] }))
    const elements = encoded.flatMap(each => (each ? toKernel(interval, each) : []))
    assert.equal(elements.length, 2 * keys.length - 1)
    fc.assert(
      fc.property(fc.shuffledSubarray(elements, { minLength: elements.length }), shuffled => {
        assert.deepEqual(
          pair(shuffled).map(each => decodeElement(interval, each).key[0]),
          keys,
        )
      }),
    )
  })

  it('carry first and last key where fields are joined', () => {
    const set: SetRow = { kind: 'set', name: 's', type: ['ipv6_addr', 'ifname'], interval: true }
    const row = { kind: 'element' as const, set: 's', key: ['fd00:77::/64', 'tsb-1'] }
    const encoded = encodeElement(set, row)
    assert.ok(encoded)
    const [back] = toKernel(set, encoded).flatMap(fromKernel)
    assert.ok(back)
    assert.equal(identity(back), identity(encoded))
    assert.deepEqual(decodeElement(set, back), row)
  })

  it('carry verdicts', () => {
    const set: SetRow = { kind: 'set', name: 's', type: ['ifname'], value: 'verdict' }
    for (const value of ['accept', 'drop', 'return', 'continue', 'jump nat', 'goto nat']) {
      const row = { kind: 'element' as const, set: 's', key: ['tsb-1'], value: [value] }
      const encoded = encodeElement(set, row)
      assert.ok(encoded, value)
      assert.deepEqual(decodeElement(set, encoded), row)
    }
    assert.equal(encodeElement(set, { kind: 'element', set: 's', key: ['x'], value: ['jump'] }), undefined)
  })
})

describe('kernel: a transaction that failed', () => {
  it('is the guilt of those whose messages failed, by their first reason, and never of nobody', () => {
    const at = (index: number, code: string) => new NetlinkError(code, 0, code, { index })
    const failures = [at(0, 'EAFNOSUPPORT'), at(2, 'ENOENT'), at(3, 'EBUSY')]
    const guilty = blame([undefined, 7, 8, 8], { failures })
    assert.deepEqual(
      [...guilty].map(([owner, { code }]) => [owner, code]),
      [[8, 'ENOENT']],
    )
  })
})

describe('kernel: rules', () => {
  it('are told apart from words that nobody understands', () => {
    for (const rule of [
      'ip daddr nonsense drop',
      'tcp flags syn',
      'iifname . drop',
      'accept!',
      'ct state new',
      'dnat to 1.2.3.4',
    ])
      assert.throws(() => compile(rule), /^Error: rule ".*" is not understood at ".*"$/, rule)
    assert.throws(() => hookOf('type filter hook nowhere priority 0'), /is not understood/)
  })

  it('has another digest for every other text', () => {
    const chains = [
      { rules: [] },
      { rules: ['drop'] },
      { rules: ['drop', 'drop'] },
      { hook: 'type filter hook input priority 0', rules: ['drop'] },
    ]
    assert.equal(new Set(chains.map(digest)).size, chains.length)
  })

  it('names the sets and chains that rules need', () => {
    const { sets, chains } = references([
      'iifname @a jump b',
      'ip saddr vmap @c',
      'log prefix "@d jump e" goto f',
    ])
    assert.deepEqual([...sets, ...chains], ['a', 'c', 'b', 'f'])
  })
})

describe('kernel: iptables', () => {
  const ours = ['src', 'dst'].map(side => `-A FORWARD -m devgroup --${side}-group 0x7473 -j ACCEPT`)
  const user = '-A FORWARD -j DOCKER-USER'
  const docker = '-A FORWARD -j DOCKER-FORWARD'
  const admin = '-A FORWARD -s 192.0.2.1/32 -j DROP'

  it('has our rules behind those of the user and before those of Docker', () => {
    assert.equal(position([]), 1)
    assert.equal(position([admin, docker]), 2)
    assert.equal(position([user, docker]), 2)
    assert.equal(position([admin, user, docker]), 3)
    assert.equal(position([docker, user]), 1)
  })

  it('knows when they have lost their place', () => {
    assert.equal(inPlace([]), false)
    assert.equal(inPlace([user, ...ours, docker]), true)
    assert.equal(inPlace([admin, user, ...ours, docker]), true)
    assert.equal(inPlace([docker, user, ...ours]), false)
    assert.equal(inPlace([user, ours[0] as string, docker]), false)
  })

  it('takes away what is left before it begins anew', () => {
    const lists = insertion([docker, user, ours[0] as string]).map(args => args.slice(0, 3).join(' '))
    assert.deepEqual(lists, ['-D FORWARD -m', '-I FORWARD 1', '-I FORWARD 2'])
  })
})

describe('kernel: order of steps', () => {
  it('puts leaves first when they go and last when they come', () => {
    const step = (verb: Step['verb'], row: Step['row']): Step => ({ verb, row, reason: '' })
    const steps: Step[] = [
      step('add', { kind: 'element', set: 's', key: ['a'] }),
      step('add', { kind: 'address', link: 'l', address: '10.0.0.1/8' }),
      step('add', { kind: 'sysctl', key: 'k', value: '1' }),
      step('add', { kind: 'link', name: 'l', type: 'bridge', up: true }),
      step('add', { kind: 'chain', name: 'c', rules: [] }),
      step('add', { kind: 'set', name: 's', type: ['ifname'] }),
      step('delete', { kind: 'chain', name: 'd', rules: [] }),
      step('delete', { kind: 'element', set: 's', key: ['b'] }),
    ]
    assert.deepEqual(
      ordered(steps)
        .flat()
        .map(({ at }) => at),
      [7, 6, 5, 4, 3, 2, 1, 0],
    )
  })
})
