import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { defaultVsn, lan } from '../../gossip/config.ts'
import { nonceSize, seal } from '../../gossip/envelope.ts'
import { Keyring } from '../../gossip/keyring.ts'
import { labelHeader } from '../../gossip/label.ts'
import { openPacket, type Wrapping } from '../../gossip/packet.ts'
import { type Input, type State, start } from '../../gossip/state.ts'
import { step } from '../../gossip/step.ts'
import { encodeStream, openStream, sealStream } from '../../gossip/stream.ts'
import { readCapture } from '../gossip/pcap.ts'
import { below, mutated, oneOf, type Random } from './mutate.ts'
import type { Target } from './target.ts'

const goldens = join(import.meta.dirname, '../gossip/goldens')
const keys = [...readFileSync(join(goldens, 'KEYS.txt'), 'utf8').matchAll(/\S{43}=/g)].map(([key]) =>
  Buffer.from(key, 'base64'),
)
const plain = readCapture(join(goldens, 'plain.pcap'))
const golden = readCapture(join(goldens, 'golden.pcap'))
const bytesOf = ({ bytes }: { bytes: Buffer }) => bytes
const open: Wrapping = { keyring: new Keyring(), label: '', compress: true }
const locked: Wrapping = { keyring: new Keyring(keys), label: 'tsnet', compress: true }
/** What the streams of the encrypted capture hold. */
const inside = golden.streams.flatMap(({ bytes }) => {
  const message = openStream(bytes, 'dialler', { keyring: new Keyring(keys), label: '', compress: true })
  return message === 'more' || message instanceof Error ? [] : [encodeStream(message)]
})
const peers = ['10.0.0.1', '10.0.0.2', '10.255.255.1'].map(address => ({ address, port: 7946 }))
const noise = (random: Random) => (size: number) =>
  Buffer.from(Array.from({ length: size }, () => below(random, 256)))

/** One node that hears what a capture's nodes said, and worse. */
abstract class Gossip implements Target {
  abstract name: string
  #state = this.#fresh()
  #now = 0

  abstract input(random: Random): Input | undefined

  feed(random: Random): void {
    const input = this.input(random)
    if (input) step(this.#state, input, this.#now, random)
    if (random() < 0.1) this.#now += below(random, 3000)
    while (this.#state.schedule.next <= this.#now) step(this.#state, { kind: 'tick' }, this.#now, random)
    for (const dial of [...this.#state.dials.keys()].slice(16))
      step(this.#state, { kind: 'hangup', dial, reason: 'no answer' }, this.#now, random)
  }

  renew(): void {
    this.#now = 0
    this.#state = this.#fresh()
  }

  #fresh(): State {
    const [endpoint = { address: '', port: 0 }, ...seeds] = peers
    const config = { name: 'n1', endpoint, meta: Buffer.alloc(0), vsn: defaultVsn, incarnation: 1 }
    return start({ ...config, seeds, packetSize: 1395, timing: lan }, 0, () => 0.5)
  }
}

/** Datagrams: as nobody who lacks the key could send them, and as somebody who has it could. */
export class Datagrams extends Gossip {
  name = 'gossip, datagrams'
  #samples = plain.datagrams.map(bytesOf)
  #sealed = golden.datagrams.map(bytesOf)

  input(random: Random): Input {
    const from = oneOf(random, peers)
    const how = below(random, 4)
    const bytes =
      how === 0 ? mutated(this.#sealed, random) : mutated(this.#samples, random).subarray(0, 65_507)
    const packet = how === 1 ? Buffer.concat([labelHeader('tsnet'), this.#seal(bytes, random)]) : bytes
    return { kind: 'packet', from, messages: openPacket(packet, how < 2 ? locked : open).messages }
  }

  #seal(bytes: Buffer, random: Random): Buffer {
    return seal(bytes, keys[0] as Buffer, noise(random)(nonceSize), Buffer.from('tsnet'))
  }
}

/** Streams, of both sides. */
export class Streams extends Gossip {
  name = 'gossip, streams'
  #samples = [...plain.streams.map(bytesOf), ...inside]
  #sealed = golden.streams.map(bytesOf)
  #count = 0

  input(random: Random): Input | undefined {
    const side = random() < 0.5 ? 'dialler' : 'acceptor'
    const isSealed = random() < 0.3
    const bytes = mutated(isSealed ? this.#sealed : this.#samples, random)
    const message = openStream(bytes, side, isSealed ? locked : open)
    if (message === 'more' || message instanceof Error) return undefined
    sealStream(message, side, locked, noise(random))
    if (side === 'acceptor') return { kind: 'answer', dial: below(random, 2 ** 31), message }
    return { kind: 'stream', stream: this.#count++, from: oneOf(random, peers), message }
  }
}
