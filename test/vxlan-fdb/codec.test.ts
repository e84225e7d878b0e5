import assert from 'node:assert/strict'
import fc from 'fast-check'
import { makeBatch, readBatch } from '../../vxlan-fdb/batch.ts'
import { Reader, Writer } from '../../vxlan-fdb/bytes.ts'
import { readEndpoint, readHost } from '../../vxlan-fdb/endpoint.ts'
import { datagramLimit, decode, encode, Malformed } from '../../vxlan-fdb/message.ts'
import { complete, cover, covers, gaps, type Range } from '../../vxlan-fdb/ranges.ts'
import { endpoint, withdrawn } from './entries.ts'

const origin = 'ab'.repeat(16)
const zeros = () => Buffer.alloc(64)
const head = { origin, fence: 3, epoch: 2 ** 40, first: 7, more: true, sum: [1, 2 ** 32 - 1] as const }
const batch = makeBatch({ ...head, entries: [endpoint(1, 1), withdrawn(endpoint(1, 2, 'été'))] }, zeros)

const messages: [string, Buffer][] = [
  ['batch', batch.bytes],
  ['relay', encode('relay', { from: origin, to: 'f'.repeat(32), batch: batch.bytes })],
  ['digest', encode('digest', { ask: 1, root: [5, 6] })],
  ['buckets', encode('buckets', { sums: Array.from({ length: 64 }, (_, at) => [at, at] as const) })],
  [
    'vector',
    encode('vector', { ask: 0, buckets: [1, 63], marks: [{ origin, fence: 0, epoch: 9, upto: 2 ** 50 }] }),
  ],
  ['pull', encode('pull', { wants: [{ origin, epoch: 1, gaps: [[1, 2 ** 53 - 2]] }] })],
  [
    'delta',
    encode('delta', {
      origin,
      key: Buffer.alloc(32, 1),
      epoch: 1,
      more: 2,
      ranges: [[1, 8]],
      batches: [batch.bytes],
    }),
  ],
]

describe('messages', () => {
  for (const [name, bytes] of messages) {
    it(`${name} is read as it was written`, () => {
      const message = decode(bytes)
      assert.ok(!(message instanceof Malformed) && message.type === name)
      if (message.type !== 'batch') assert.deepEqual(encode(message.type, message as never), bytes)
    })

    it(`${name} cut short, or with a byte too many, is malformed`, () => {
      const whole = (part: Buffer) => {
        const message = decode(part)
        return (
          message instanceof Malformed || (message.type === 'batch' && readBatch(part) instanceof Malformed)
        )
      }
      // A batch's last bytes are its signature: what is missing there makes another batch, which nobody signed.
      const end = name === 'batch' ? 64 : bytes.length
      for (let size = 0; size < end; size++) assert.ok(whole(bytes.subarray(0, size)), `${size} bytes`)
      if (name !== 'batch') assert.ok(whole(Buffer.concat([bytes, Buffer.alloc(1)])))
    })
  }

  it('a batch keeps its entries, in their networks, with their numbers', () => {
    const found = readBatch(batch.bytes)
    assert.ok(!(found instanceof Malformed))
    assert.deepEqual(found.entries, [endpoint(1, 1), withdrawn(endpoint(1, 2, 'été'))])
    assert.deepEqual(
      [found.first, found.last, found.epoch, found.fence, found.more, found.sum],
      [7, 8, 2 ** 40, 3, true, head.sum],
    )
  })

  it('a digest fits beside anything, the buckets into a datagram', () => {
    assert.equal(messages[2]?.[1].length, 10)
    assert.ok((messages[3]?.[1].length ?? 0) <= datagramLimit)
  })

  it('random and damaged bytes are errors, never exceptions, and never big', () =>
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.nat(messages.length - 1),
        fc.nat(2000),
        fc.nat(255),
        (noise, which, at, value) => {
          const damaged = Buffer.from(messages[which]?.[1] ?? [])
          damaged[at % damaged.length] = value
          for (const bytes of [Buffer.from(noise), Buffer.from([which + 1, ...noise]), damaged]) {
            const message = decode(bytes)
            if (!(message instanceof Malformed) && message.type === 'batch') readBatch(bytes)
            readEndpoint(bytes)
            readHost(bytes)
          }
        },
      ),
      { numRuns: 3000 },
    )).timeout(30_000)

  it('a count or a length beyond what is there costs nothing', () => {
    for (const number of [4, 5, 6, 7]) {
      const out = new Writer()
      out.u8(number)
      out.raw(Buffer.alloc(49))
      out.varint(2 ** 52)
      assert.ok(decode(out.done()) instanceof Malformed)
    }
  })

  it('numbers go up to 2^53 - 1 and no further', () =>
    fc.assert(
      fc.property(fc.maxSafeNat(), value => {
        const out = new Writer()
        out.varint(value)
        assert.equal(new Reader(out.done()).varint(), value)
        const beyond = new Reader(Buffer.from('ffffffffffffff7f', 'hex'))
        assert.equal(beyond.varint(), 0)
        assert.match(beyond.error ?? '', /beyond 2\^53/)
      }),
    ))
})

describe('ranges', () => {
  const range = fc
    .tuple(fc.integer({ min: 1, max: 30 }), fc.nat(5))
    .map(([from, more]): Range => [from, from + more])

  it('know what is there and what is missing, as a set of numbers would', () =>
    fc.assert(
      fc.property(fc.array(range, { maxLength: 12 }), ranges => {
        const numbers = new Set(
          ranges.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, at) => from + at)),
        )
        const covered = ranges.reduce<Range[]>(cover, [])
        const missing = gaps(covered, 40).flatMap(([from, to]) =>
          Array.from({ length: to - from + 1 }, (_, at) => from + at),
        )
        for (let number = 1; number <= 40; number++) {
          assert.equal(covers(covered, [number, number]), numbers.has(number))
          assert.equal(missing.includes(number), !numbers.has(number))
        }
        let upto = 0
        while (numbers.has(upto + 1)) upto++
        assert.equal(complete(covered), upto)
      }),
    ))
})
