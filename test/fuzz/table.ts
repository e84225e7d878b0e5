import { makeBatch, readBatch } from '../../vxlan-fdb/batch.ts'
import { forwarding, type Input, kinds, type Outputs, writeHost } from '../../vxlan-fdb/index.ts'
import { Malformed } from '../../vxlan-fdb/message.ts'
import { endpoint, withdrawn } from '../vxlan-fdb/entries.ts'
import { Peer } from '../vxlan-fdb/pair.ts'
import { below, mutated, oneOf, type Random } from './mutate.ts'
import type { Target } from './target.ts'

/** Kept apart from any other use of a key (batch.ts). */
const context = Buffer.from('tsnet vxlan-fdb batch\0')

/** One member of a replicated table, among others that lie. */
export class Records implements Target {
  name = 'vxlan-fdb, records and digests'
  /** Keys of their own, signed rightly whatever they say. */
  readonly #rogues = [new Peer(), new Peer()]
  #victim = new Peer()
  #honest = new Peer()
  readonly #samples: Buffer[] = []

  constructor() {
    this.renew()
    this.#record()
  }

  feed(random: Random): void {
    this.#victim.now += below(random, 400)
    const bytes = mutated(this.#samples, random)
    const from = oneOf(random, [this.#honest, ...this.#rogues])
    const via = oneOf(random, ['direct', 'broadcast', 'stream'] as const)
    const ways = [() => bytes, () => this.#signed(bytes, random), () => this.#made(random)]
    const sent = oneOf(random, ways)()
    this.#victim.do({ type: 'received', from: from.origin, via, bytes: sent })
    this.#victim.do({ type: 'tick' })
    forwarding(this.#victim.table, 'shop')
  }

  renew(): void {
    this.#victim = new Peer()
    this.#victim.meets(this.#honest, ...this.#rogues)
    this.#victim.do({ type: 'start', epoch: 5, fence: 0, entries: [endpoint(9, 1)] })
    for (const { origin, signer } of this.#rogues)
      this.#victim.do({ type: 'member', id: origin, alive: true, key: signer.publicKey })
  }

  /** What members say to each other in a while, as bytes. */
  #record(): void {
    const all = [this.#honest, ...this.#rogues]
    const tell = (from: Peer, outputs: Outputs) => {
      for (const output of outputs) {
        if (!('bytes' in output)) continue
        this.#samples.push(output.bytes)
        if (output.type === 'broadcast') continue
        const to = all.find(({ origin }) => origin === output.to)
        if (to && this.#samples.length < 400) tell(to, to.hear(from, output.bytes, output.type))
      }
    }
    const act = (peer: Peer, input: Input) => {
      for (const each of all) each.now += 400
      tell(peer, peer.do(input))
    }
    for (const peer of all) peer.meets(...all.filter(other => other !== peer), this.#victim)
    for (const peer of all) act(peer, { type: 'start', epoch: 5, fence: 0, entries: [endpoint(1, 1)] })
    const host = {
      network: '',
      kind: kinds.host,
      key: '',
      value: writeHost({ vtep4: Buffer.from([10, 0, 0, 7]), vtep6: undefined }),
    }
    for (const peer of all) act(peer, { type: 'write', entries: [host, endpoint(2, 2), endpoint(3, 300)] })
    for (const peer of all) act(peer, { type: 'write', entries: [withdrawn(endpoint(2, 2))] })
    act(this.#honest, { type: 'forget', origin: 'a'.repeat(32) })
    for (let round = 0; round < 6; round++) for (const peer of all) act(peer, { type: 'tick' })
  }

  /** A batch that is right in form and version; what its entries say is damaged. */
  #made(random: Random): Buffer {
    const { signer, origin, table } = oneOf(random, this.#rogues)
    const { epoch, last } = this.#victim.table.log(origin)
    const values = [...table.rows()].map(({ value }) => value ?? Buffer.alloc(0))
    const entries = Array.from({ length: below(random, 4) }, () => ({
      network: oneOf(random, ['', 'shop']),
      kind: below(random, 8),
      key: oneOf(random, ['', '10.0.0.0/8', origin, this.#victim.origin, this.#honest.origin, '1-1', '\0']),
      value: random() < 0.8 ? mutated(values, random).subarray(0, 32 * 1024) : undefined,
    }))
    const sum = [below(random, 2 ** 32), below(random, 2 ** 32)] as const
    const version = { fence: below(random, 3), epoch: Math.max(1, epoch + below(random, 3) - 1) }
    const batch = { origin, ...version, first: last + below(random, 3), more: random() < 0.2, sum, entries }
    return makeBatch(batch, content => signer.sign(content)).bytes
  }

  /** A batch with whatever content, as one of the rogues signs it. */
  #signed(bytes: Buffer, random: Random): Buffer {
    const { signer, origin } = oneOf(random, this.#rogues)
    if (readBatch(bytes) instanceof Malformed && bytes[0] !== 1) return bytes
    const content = Buffer.from(bytes.subarray(0, -64))
    if (random() < 0.9 && content.length > 17) content.set(Buffer.from(origin, 'hex'), 1)
    return Buffer.concat([content, signer.sign(Buffer.concat([context, content]))])
  }
}
