import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Keyring } from '../../gossip/keyring.ts'
import { encodeMessage, layer, type Message } from '../../gossip/messages.ts'
import { openPacket, sealPacket, type Wrapping } from '../../gossip/packet.ts'
import { decodeSerf, encodeSerf } from '../../gossip/serf-messages.ts'
import { encodeStream, openStream, sealStream } from '../../gossip/stream.ts'
import { readCapture } from './pcap.ts'

const folder = join(import.meta.dirname, 'goldens')
const keys = [...readFileSync(join(folder, 'KEYS.txt'), 'utf8').matchAll(/\S{43}=/g)].map(([key]) =>
  Buffer.from(key, 'base64'),
)

/** The nonce of a captured datagram, so that sealing gives the same bytes again. */
const nonceOf = (datagram: Buffer) => () => datagram.subarray(1, 13)

/** How many datagrams hold which message, as counted when they were captured. */
const captures = {
  plain: {
    keyring: new Keyring(),
    messages: { alive: 98, user: 118, ping: 483, ack: 479, dead: 32 },
    pushPulls: 34,
  },
  golden: {
    keyring: new Keyring(keys),
    messages: { alive: 52, user: 114, ping: 76, ack: 61, indirectPing: 10, suspect: 39, nack: 10, dead: 24 },
    pushPulls: 6,
  },
}

for (const [name, { keyring, messages, pushPulls }] of Object.entries(captures))
  describe(`traffic of a real serf cluster: ${name}.pcap`, () => {
    const { datagrams, streams } = readCapture(join(folder, `${name}.pcap`))
    const wrapping: Wrapping = { keyring, label: '', compress: true }
    const opened = datagrams.map(({ bytes }) => openPacket(bytes, wrapping))

    it('is read to the last message', () => {
      const counts: Record<string, number> = {}
      for (const { messages, errors } of opened) {
        assert.deepEqual(errors, [])
        for (const { type } of messages) counts[type] = (counts[type] ?? 0) + 1
      }
      assert.deepEqual(counts, messages)
    })

    it('is written as the same bytes', () => {
      const different = datagrams.filter(
        ({ bytes }, i) => !rewritten(bytes, opened[i]?.messages ?? [], wrapping),
      )
      // Our own tolerance test sent these nine, with str8, bin and unsorted keys.
      const foreign = different.filter(({ from }) => !spokenByUs(from))
      assert.deepEqual(
        foreign.map(({ bytes }) => bytes.toString('hex')),
        [],
      )
      assert.ok(different.length < datagrams.length / 10, `${different.length} of ${datagrams.length} differ`)
    })

    it('holds push/pulls that are read and written', () => {
      const exchanges = streams.filter(({ bytes }) => bytes.length > 0)
      assert.equal(exchanges.length, pushPulls)
      for (const { bytes, to } of exchanges) {
        const side = to.endsWith(':7946') ? 'dialler' : 'acceptor'
        const message = openStream(bytes, side, wrapping)
        assert.ok(message !== 'more' && !(message instanceof Error) && message.type === 'pushPull')
        const again = openStream(
          sealStream(message, side, wrapping, () => Buffer.alloc(12)),
          side,
          wrapping,
        )
        assert.deepEqual(again, message)
        const state = decodeSerf(message.userState)
        assert.ok(!(state instanceof Error) && state.type === 'pushPull')
        assert.deepEqual(decodeSerf(encodeSerf(state)), state)
      }
    })

    it('asks for more at every cut of a stream', () => {
      for (const { bytes, to } of streams.filter(({ bytes }) => bytes.length > 0).slice(0, 4))
        for (let cut = 0; cut < bytes.length; cut++)
          assert.equal(
            openStream(bytes.subarray(0, cut), to.endsWith(':7946') ? 'dialler' : 'acceptor', wrapping),
            'more',
          )
    })

    it('holds serf messages that are read and written', () => {
      // 200 was sent to see what serf does with a type that it doesn't know.
      const users = opened
        .flatMap(({ messages }) => messages)
        .filter(message => message.type === 'user')
        .filter(({ payload }) => payload[0] !== 200)
      for (const { payload } of users) {
        const message = decodeSerf(payload)
        assert.ok(!(message instanceof Error), String(message))
        assert.deepEqual(decodeSerf(encodeSerf(message)), message)
      }
    })
  })

/** Whoever captured this ran a peer that was no serf, at this address. */
const spokenByUs = (from: string): boolean => from.startsWith('10.231.0.4:') || from.startsWith('10.99.')

/** The wrapping that was there, found by trying both ways of each layer. */
function rewritten(datagram: Buffer, messages: Message[], wrapping: Wrapping): boolean {
  const encoded = messages.map(encodeMessage)
  return [false, true].some(crc =>
    [false, true].some(compress =>
      sealPacket(
        encoded,
        crc,
        { ...wrapping, keyring: usedKey(datagram, wrapping), compress },
        nonceOf(datagram),
      ).equals(datagram),
    ),
  )
}

/** The ring with the key in front that sealed a datagram. */
function usedKey(datagram: Buffer, { keyring }: Wrapping): Keyring {
  const used = keyring
    .list()
    .find(
      key =>
        openPacket(datagram, { keyring: new Keyring([key]), label: '', compress: true }).errors.length === 0,
    )
  return new Keyring(used ? [used] : [])
}

describe('what a cluster says in plain', () => {
  it('is no message for a node with a key', () => {
    const { datagrams } = readCapture(join(folder, 'plain.pcap'))
    const wrapping = { keyring: new Keyring(keys), label: '', compress: true }
    for (const { bytes } of datagrams) assert.deepEqual(openPacket(bytes, wrapping).messages, [])
  })

  it('on a stream is malformed for a node with a key', () => {
    const wrapping = { keyring: new Keyring(keys), label: '', compress: true }
    const plain = encodeStream({ type: 'pushPull', join: true, nodes: [], userState: Buffer.alloc(0) })
    assert.ok(openStream(plain, 'dialler', wrapping) instanceof Error)
    assert.equal(plain[0], layer.pushPull)
  })
})
