import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { addressBytes, addressText } from '../../gossip/endpoint.ts'
import { seal, unseal } from '../../gossip/envelope.ts'
import { Keyring } from '../../gossip/keyring.ts'
import { bytes, decode, encode, int, record, text, u32 } from '../../gossip/kinds.ts'
import { compress, decompress } from '../../gossip/lzw.ts'
import { Malformed } from '../../gossip/malformed.ts'
import { encodeMessage, type Message } from '../../gossip/messages.ts'
import { compound, openPacket, sealPacket, type Wrapping } from '../../gossip/packet.ts'
import { decodeSerf } from '../../gossip/serf-messages.ts'
import { encodeStream, openStream, sealStream } from '../../gossip/stream.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const plain: Wrapping = { keyring: new Keyring(), label: '', compress: false }
const raw = (most: number) => fc.uint8Array({ maxLength: most }).map(each => Buffer.from(each))

describe('msgpack as go-msgpack speaks it', () => {
  it('writes text and bytes as raw of the old spec', () => {
    assert.deepEqual(encode(text, 'ab'), hex('a2 6162'))
    assert.deepEqual(encode(text, 'x'.repeat(32)).subarray(0, 3), hex('da 0020'))
    assert.deepEqual(encode(bytes, Buffer.alloc(70_000)).subarray(0, 5), hex('db 00011170'))
  })

  it('grows with what is written', () => {
    fc.assert(
      fc.property(raw(5000), value => decode(bytes, encode(bytes, value)).equals(value)),
      { numRuns: 200 },
    )
  })

  it('reads str8 and bin as well', () => {
    assert.equal(decode(text, hex('d9 02 6162')), 'ab')
    assert.deepEqual(decode(bytes, hex('c4 02 6162')), hex('6162'))
  })

  it('passes over keys it has no field for, of any type, and keeps zero where one is missing', () => {
    const kind = record({ A: u32, B: text })
    for (const odd of [
      'c0',
      'c3',
      'cb0000000000000000',
      '92c0a161',
      '81a16101',
      'd40101',
      'c7020100ff',
      'd1ff00',
    ])
      assert.deepEqual(decode(kind, hex(`82 a158 ${odd} a141 07`)), { A: 7, B: '' }, odd)
  })

  it('reads integers of every form', () => {
    const forms = {
      '05': 5,
      e0: -32,
      cc80: 128,
      cd0100: 256,
      ce00010000: 65536,
      d0ff: -1,
      d1ff00: -256,
      d2ffffffff: -1,
      d3ffffffffffffffff: -1,
    }
    for (const [form, value] of Object.entries(forms)) assert.equal(decode(int, hex(form)), value, form)
  })

  it('refuses what is nested too deeply, or longer than what is there', () => {
    const kind = record({ A: u32 })
    for (const bad of [`81 a158 ${'91'.repeat(50)}`, 'df ffffffff', '81 db ffffffff', '81', ''])
      assert.throws(() => decode(kind, hex(bad)), Malformed, bad)
  })
})

describe('LZW', () => {
  // compress/lzw: NewWriter(&b, lzw.LSB, 8), as it came in the captured compress layers too.
  it('of nothing is clear and end', () => assert.deepEqual(compress(Buffer.alloc(0)), hex('00 03 02')))

  it('gives back what went in, through every width of codes and a full table', () => {
    const inputs = fc.oneof(raw(2000), fc.array(fc.constantFrom(1, 2), { maxLength: 6000 }).map(Buffer.from))
    fc.assert(
      fc.property(inputs, input => decompress(compress(input), 1 << 20).equals(input)),
      { numRuns: 150 },
    )
    const long = randomBytes(20_000)
    assert.ok(decompress(compress(long), 20_000).equals(long))
  })

  it('stops at the limit', () => {
    assert.throws(() => decompress(compress(Buffer.alloc(100_000)), 65_536), Malformed)
  })

  it('of garbage is malformed, never more', () => {
    fc.assert(
      fc.property(raw(200), garbage => quietly(() => decompress(garbage, 65_536))),
      { numRuns: 2000 },
    )
  })
})

describe('the envelope', () => {
  it('is AES-GCM as published: test case 16 of the GCM specification, in an envelope', () => {
    const key = hex('feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308')
    const text = hex(
      'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
    )
    const sealed = seal(
      text,
      key,
      hex('cafebabefacedbaddecaf888'),
      hex('feedfacedeadbeeffeedfacedeadbeefabaddad2'),
    )
    assert.equal(sealed.subarray(-16).toString('hex'), '76fc6ece0f4e1768cddf8853bb2d551b')
    assert.deepEqual(unseal(sealed, [key], hex('feedfacedeadbeeffeedfacedeadbeefabaddad2')), text)
  })

  it('of either version and any key length opens with the right key only', () => {
    for (const version of [0, 1] as const)
      for (const size of [16, 24, 32]) {
        const key = randomBytes(size)
        const sealed = seal(Buffer.from('hello'), key, randomBytes(12), Buffer.alloc(0), version)
        assert.equal(unseal(sealed, [randomBytes(32), key], Buffer.alloc(0)).toString(), 'hello')
        assert.throws(() => unseal(sealed, [randomBytes(size)], Buffer.alloc(0)), Malformed)
        assert.throws(() => unseal(sealed, [key], Buffer.from('label')), Malformed)
      }
  })

  it('with one bit turned opens nowhere', () => {
    const keyring = new Keyring([randomBytes(32)])
    const sealed = sealPacket(
      [encodeMessage({ type: 'nack', SeqNo: 1 })],
      false,
      { ...plain, keyring },
      randomBytes,
    )
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const turned = Buffer.from(sealed)
      turned[bit >> 3] = (turned[bit >> 3] as number) ^ (1 << (bit & 7))
      assert.deepEqual(openPacket(turned, { ...plain, keyring }).messages, [])
    }
  })
})

describe('the keyring', () => {
  const [a, b] = [randomBytes(32), randomBytes(16)] as const

  it('encrypts with the key in use, and keeps it', () => {
    const keyring = new Keyring([a])
    keyring.install(b)
    keyring.use(b)
    assert.deepEqual(keyring.list(), [b, a])
    assert.throws(() => keyring.remove(b), RangeError)
    keyring.remove(a)
    assert.throws(() => keyring.use(a), RangeError)
    assert.throws(() => keyring.install(randomBytes(31)), RangeError)
  })
})

describe('layers', () => {
  const nack = encodeMessage({ type: 'nack', SeqNo: 7 })

  it('are CRC-32 of IEEE', () => assert.equal(crc32('123456789'), 0xcbf43926))

  it('may be in any order, three deep', () => {
    const crc = sealPacket([compound([nack, nack])], true, plain, randomBytes)
    assert.equal(openPacket(compound([crc]), plain).messages.length, 2)
    assert.deepEqual(openPacket(compound([compound([crc])]), plain).messages, [])
  })

  it('with a bad message among good ones lose that one', () => {
    const opened = openPacket(compound([nack, hex('63'), hex('0b c1'), nack]), plain)
    assert.deepEqual([opened.messages.length, opened.errors.length], [2, 2])
  })

  it('of another label, or without one, are dropped', () => {
    const ours = { ...plain, label: 'ours' }
    const datagram = sealPacket([nack], false, ours, randomBytes)
    assert.equal(openPacket(datagram, ours).messages.length, 1)
    assert.equal(openPacket(datagram, plain).messages.length, 0)
    assert.equal(openPacket(datagram, { ...plain, label: 'theirs' }).messages.length, 0)
    assert.equal(openPacket(nack, ours).messages.length, 0)
  })

  it('of compressed data that inflates beyond a datagram are dropped', () => {
    const bomb = encodeMessage({ type: 'user', payload: Buffer.alloc(1 << 20) })
    const packed = sealPacket([bomb], false, { ...plain, compress: true }, randomBytes)
    assert.ok(packed.length < 10_000)
    assert.deepEqual(openPacket(packed, plain).messages, [])
  })
})

describe('streams', () => {
  const message = { type: 'user', payload: randomBytes(300) } as const
  const wrappings: Wrapping[] = [
    plain,
    { keyring: new Keyring([randomBytes(16)]), label: 'shop', compress: true },
  ]

  it('are labelled by the dialler and sealed by both', () => {
    for (const wrapping of wrappings)
      for (const side of ['dialler', 'acceptor'] as const)
        assert.deepEqual(
          openStream(sealStream(message, side, wrapping, randomBytes), side, wrapping),
          message,
        )
  })

  it('with forged lengths are malformed, or wait for what will not come', () => {
    const pushPull = encodeStream({ type: 'pushPull', join: false, nodes: [], userState: Buffer.alloc(0) })
    const forged = hex('06 83 a44a6f696e c2 a54e6f646573 d2 7fffffff ac557365725374617465 4c656e 00')
    assert.ok(openStream(forged, 'acceptor', plain) instanceof Malformed)
    assert.ok(
      openStream(hex('08 81 aa557365724d73674c656e d2 7fffffff'), 'acceptor', plain) instanceof Malformed,
    )
    assert.equal(openStream(pushPull.subarray(0, -1), 'acceptor', plain), 'more')
  })
})

describe('addresses', () => {
  it('are the same text in either length', () => {
    assert.equal(addressText(hex('00000000000000000000ffff0a000001')), '10.0.0.1')
    for (const text of ['10.0.0.1', 'fd00::1', '::1', '2001:db8::ff00:42:8329'])
      assert.equal(addressText(addressBytes(text)), text)
    assert.equal(addressText(hex('0a0000')), undefined)
  })
})

describe('handlers of what comes from outside', () => {
  const messages: Message[] = [
    { type: 'ping', SeqNo: 1, Node: 'a', SourceAddr: hex('0a000001'), SourcePort: 7946, SourceNode: 'b' },
    {
      type: 'alive',
      Node: 'a',
      Incarnation: 1,
      Addr: hex('0a000001'),
      Port: 1,
      Meta: hex('ff80'),
      Vsn: hex('010502010101'),
    },
    { type: 'suspect', Node: 'a', Incarnation: 1, From: 'b' },
  ]
  const good = [
    ...messages.map(encodeMessage),
    sealPacket(messages.map(encodeMessage), true, { ...plain, compress: true }, randomBytes),
    encodeStream({ type: 'pushPull', join: true, nodes: [], userState: hex('02 81 a54c54696d65 01') }),
  ]

  it('take any bytes without an exception', () => {
    fc.assert(
      fc.property(raw(300), garbage => handle(garbage)),
      { numRuns: 3000 },
    )
  })

  it('take bytes changed, cut or doubled without an exception', () => {
    const change = fc.record({ which: fc.nat(), at: fc.nat(), to: fc.nat(255), cut: fc.nat() })
    fc.assert(
      fc.property(change, ({ which, at, to, cut }) => {
        const changed = Buffer.from(good[which % good.length] as Buffer)
        changed[at % changed.length] = to
        return (
          handle(changed) &&
          handle(changed.subarray(0, cut % changed.length)) &&
          handle(Buffer.concat([changed, changed]))
        )
      }),
      { numRuns: 3000 },
    )
  })
})

function handle(bytes: Buffer): boolean {
  openPacket(bytes, plain)
  openStream(bytes, 'dialler', plain)
  openStream(bytes, 'acceptor', plain)
  decodeSerf(bytes)
  return true
}

function quietly(work: () => void): boolean {
  try {
    work()
  } catch (error) {
    assert.ok(error instanceof Malformed, String(error))
  }
  return true
}
