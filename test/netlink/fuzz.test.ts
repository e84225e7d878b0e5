import assert from 'node:assert/strict'
import { isIP } from 'node:net'
import { ip, mac, NetlinkError, newLink } from '@tsnet/netlink'
import fc from 'fast-check'
import { refusal } from '../../netlink/acknowledgement.ts'
import { type AnyBody, eachMessage } from '../../netlink/message.ts'
import { conntrackBody } from '../../netlink/netfilter/conntrack.ts'
import * as nftables from '../../netlink/netfilter/tables.ts'
import { addressBody } from '../../netlink/route/address.ts'
import { linkBody } from '../../netlink/route/link.ts'
import { neighbourBody } from '../../netlink/route/neighbour.ts'
import { policyBody } from '../../netlink/route/policy.ts'
import { routeBody } from '../../netlink/route/route.ts'
import { bpfFilterBody, trafficBody } from '../../netlink/route/traffic.ts'
import { Writer } from '../../netlink/writer.ts'

const { tableBody, chainBody, ruleBody, setBody, elementsBody } = nftables
const bodies: Record<string, AnyBody> = {
  linkBody,
  addressBody,
  routeBody,
  policyBody,
  neighbourBody,
  conntrackBody,
  trafficBody,
  bpfFilterBody,
  tableBody,
  chainBody,
  ruleBody,
  setBody,
  elementsBody,
}

function written(body: AnyBody, value: unknown): Buffer {
  const out = new Writer(16)
  body.write(out, value)
  return Buffer.from(out.bytes.subarray(0, out.at))
}

const u8 = fc.integer({ min: 0, max: 0xff })
const u16 = fc.integer({ min: 0, max: 0xffff })
const u32 = fc.integer({ min: 0, max: 0xffffffff })
const text = fc.string({ minLength: 1, maxLength: 15 }).filter(value => !value.includes('\0'))
const raw = fc.uint8Array({ minLength: 1, maxLength: 40 }).map(bytes => Buffer.from(bytes))
const lladdr = fc.uint8Array({ minLength: 6, maxLength: 6 }).map(bytes => mac.read(Buffer.from(bytes), 0, 6))
const address = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }).map(bytes => ip.read(Buffer.from(bytes), 0, 4)),
  fc.uint8Array({ minLength: 16, maxLength: 16 }).map(bytes => ip.read(Buffer.from(bytes), 0, 16)),
)
const plain = (fields: Record<string, fc.Arbitrary<unknown>>) => fc.record(fields, { noNullPrototype: true })
/** Any of the keys. */
const record = (fields: Record<string, fc.Arbitrary<unknown>>) =>
  fc.record(fields, { requiredKeys: [], noNullPrototype: true })

const port = record({
  hairpin: u8,
  isolated: u8,
  cost: u32,
  priority: u16,
  messageAgeTimer: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
})
const info = fc.oneof(
  plain({
    kind: fc.constant('bridge'),
    data: record({ ageingTime: u32, vlanProtocol: u16, groupAddr: lladdr }),
    port,
  }),
  plain({
    kind: fc.constant('veth'),
    data: record({
      peer: plain({ name: text, mtu: u32, family: u8, type: u16, index: u16, flags: u32, change: u32 }),
    }),
  }),
  plain({
    kind: fc.constant('vxlan'),
    data: record({
      id: u32,
      local: address,
      port: u16,
      portRange: fc.tuple(u16, u16),
      gbp: fc.constant(true),
    }),
  }),
)
const verdict = plain({ verdict: record({ code: fc.integer({ min: -5, max: 1 }), chain: text }) })
const element = record({
  key: plain({ value: raw }),
  keyEnd: plain({ value: raw }),
  data: fc.oneof(plain({ value: raw }), verdict),
  flags: u32,
  userdata: raw,
})

const values: [string, AnyBody, fc.Arbitrary<unknown>][] = [
  [
    'links',
    linkBody,
    record({
      index: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      flags: u32,
      name: text,
      mtu: u32,
      address: lladdr,
      info,
      afSpec: record({ inet6: record({ addrGenMode: u8 }) }),
    }),
  ],
  [
    'addresses',
    addressBody,
    record({ family: u8, index: u32, local: address, address, label: text, flags: u32 }),
  ],
  ['neighbours', neighbourBody, record({ state: u16, dst: address, lladdr, vlan: u16, port: u16, vni: u32 })],
  [
    'routes',
    routeBody,
    record({
      dst: address,
      gateway: address,
      oif: u32,
      metrics: record({ mtu: u32, ccAlgo: text }),
      table: u32,
    }),
  ],
  [
    'elements',
    elementsBody,
    record({ table: text, set: text, elements: fc.array(element, { maxLength: 5 }) }),
  ],
]

describe('netlink codec, any value', () => {
  for (const [name, body, arbitrary] of values) {
    it(`${name} come back as they were written`, () => {
      fc.assert(
        fc.property(arbitrary, value => {
          const bytes = written(body, value)
          assert.equal(bytes.length % 4, 0)
          const back = body.read(bytes, 0, bytes.length)
          for (const [key, each] of Object.entries(value as object)) assert.deepEqual(back[key], each, key)
          const again = written(body, back)
          assert.deepEqual(body.read(again, 0, again.length), back)
        }),
      )
    })

    it(`${name} cut short are an error or shorter, never a crash`, () => {
      fc.assert(
        fc.property(arbitrary, fc.nat(400), (value, cut) => {
          const bytes = written(body, value)
          onlyTyped(() => body.read(bytes, 0, Math.max(0, bytes.length - cut)))
        }),
      )
    })
  }

  it('addresses of every kind are read as node:net reads them, and written back', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), value => {
        const out = new Writer()
        ip.write(out, value)
        const back = ip.read(out.bytes, 0, out.at)
        assert.equal(isIP(back), isIP(value))
        if (isIP(value) === 6 && !value.includes('.'))
          assert.equal(`[${back}]`, new URL(`http://[${value}]`).hostname)
      }),
    )
  })

  it('whatever node:net takes for no address is refused', () => {
    const alike = fc.string({ unit: fc.constantFrom(...'0123456789abcdef:.'), maxLength: 24 })
    fc.assert(
      fc.property(alike, value => {
        const taken = accepted(() => ip.write(new Writer(), value))
        if (taken) assert.notEqual(isIP(value), 0, value)
        if (isIP(value)) assert.ok(taken, value)
      }),
      { numRuns: 3000 },
    )
  })
})

describe('netlink codec, any bytes', () => {
  const soup = fc.uint8Array({ maxLength: 300 }).map(bytes => Buffer.from(bytes))
  /** Lengths and types that make sense more often than chance would have it. */
  const attributes = fc.array(fc.tuple(u8, u8, fc.uint8Array({ maxLength: 24 }))).map(all =>
    Buffer.concat([
      Buffer.alloc(16),
      ...all.map(([type, lie, body]) => {
        const padded = Buffer.alloc((4 + body.length + 3) & ~3)
        padded.writeUInt16LE(lie < 16 ? lie : 4 + body.length, 0)
        padded.writeUInt16LE(type % 64, 2)
        padded.set(body, 4)
        return padded
      }),
    ]),
  )
  for (const [name, body] of Object.entries(bodies)) {
    it(`${name} reads them or says EBADMSG`, () => {
      fc.assert(
        fc.property(fc.oneof(soup, attributes), bytes => onlyTyped(() => body.read(bytes, 0, bytes.length))),
        { numRuns: 500 },
      )
    })
  }

  it('datagrams and acknowledgements of any bytes are read or EBADMSG', () => {
    fc.assert(
      fc.property(fc.oneof(soup, attributes), u16, (bytes, flags) => {
        onlyTyped(() =>
          eachMessage(
            bytes,
            bytes.length,
            message => refusal({ ...message, flags, type: 2 }, 'test') !== undefined && false,
          ),
        )
        onlyTyped(() => refusal({ type: 2, flags, sequence: 1, bytes, from: 0, to: bytes.length }, 'test'))
        onlyTyped(() => refusal({ type: 3, flags, sequence: 1, bytes, from: 0, to: bytes.length }, 'test'))
      }),
      // A request's length with its highest bit set, which 32-bit arithmetic makes negative.
      { examples: [[Buffer.from([0, 0, 0, 128, 0, 0, 0, 128]), 6656]] },
    )
  })

  it('an attribute that is too short or too long is EBADMSG with its name', () => {
    const mtu = (size: number) =>
      Buffer.concat([Buffer.alloc(16), Buffer.from([4 + size, 0, 4, 0]), Buffer.alloc((size + 3) & ~3)])
    for (const size of [0, 3, 5, 8]) {
      assert.throws(() => linkBody.read(mtu(size), 0, mtu(size).length), {
        code: 'EBADMSG',
        message: /^IFLA_MTU: /,
      })
    }
    assert.equal(linkBody.read(mtu(4), 0, mtu(4).length).mtu, 0)
  })

  it('a wrong attribute does not compile', () => {
    const wrong = [
      // @ts-expect-error: a VXLAN's attribute
      () => newLink({ name: 'x', kind: 'bridge', data: { learning: 0 } }),
      // @ts-expect-error: text where a number goes
      () => newLink({ name: 'x', mtu: '1500' }),
      // @ts-expect-error: no such attribute
      () => newLink({ name: 'x', colour: 1 }),
    ]
    assert.equal(wrong.length, 3)
  })

  it('a value that has no place in a message is EINVAL', () => {
    const wrong: unknown[] = [
      { mtu: -1 },
      { mtu: 2 ** 32 },
      { mtu: 1.5 },
      { index: 2 ** 31 },
      { address: '02:00' + ':x0' },
      { colour: 1 },
    ]
    for (const value of wrong)
      assert.throws(() => written(linkBody, value), { name: 'NetlinkError', code: 'EINVAL' })
  })
})

function accepted(run: () => void): boolean {
  try {
    run()
    return true
  } catch (error) {
    if (error instanceof NetlinkError && error.code === 'EINVAL') return false
    throw error
  }
}

function onlyTyped(run: () => void): void {
  try {
    run()
  } catch (error) {
    if (!(error instanceof NetlinkError) || error.code !== 'EBADMSG') throw error
  }
}
