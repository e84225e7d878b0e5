import { emptyDisk } from '../../ipam/blocks.ts'
import { readSaid, writeSaid } from '../../ipam/said.ts'
import { type Effect, Share } from '../../ipam/share.ts'
import { below, exchanged, mutated, oneOf, type Random } from './mutate.ts'
import type { Target } from './target.ts'

const hosts = ['a', 'b', 'c', 'd'].map(letter => letter.repeat(32))
const [self = ''] = hosts
const BLOCKS = 64

const fresh = (host: string) => new Share(host, 7, BLOCKS, { founded: false, disk: emptyDisk() })

/** Does what a share asks for at once. */
function settle(share: Share, effects: Effect[]): void {
  for (const effect of effects) if (effect.type === 'persist') settle(share, share.persisted(effect.version))
}

/** What three hosts that share a pool say while they elect an owner and get blocks of it. */
function recorded(): string[] {
  const shares = hosts.slice(0, 3).map(fresh)
  const said = new Set<string>()
  for (const share of shares) {
    settle(share, share.meet(hosts.slice(0, 3).filter(host => host !== share.self)))
    settle(share, share.want(true, 2))
  }
  for (let round = 0; round < 12; round++)
    for (const from of shares)
      for (const to of shares) {
        said.add(writeSaid(from.said()))
        if (from === to) continue
        settle(to, to.hear(from.self, readSaid(writeSaid(from.said())) ?? from.said()))
        settle(to, to.agree(from.self))
      }
  shares.forEach(share => void settle(share, share.forget(hosts[3] as string)))
  for (const share of shares) said.add(writeSaid(share.said()))
  return [...said]
}

/** What others say of a pool's blocks. */
export class BlockWords implements Target {
  name = 'ipam, block messages'
  readonly #texts = recorded()
  readonly #values = this.#texts.map(text => JSON.parse(text) as object)
  #share = fresh(self)

  feed(random: Random): void {
    const text =
      random() < 0.5
        ? JSON.stringify(exchanged(this.#values, random))
        : mutated(
            this.#texts.map(each => Buffer.from(each)),
            random,
          ).toString()
    const said = readSaid(text)
    const from = oneOf(random, hosts.slice(1))
    if (said) settle(this.#share, this.#share.hear(from, said))
    if (random() < 0.2) settle(this.#share, this.#share.agree(from))
    if (random() < 0.1) settle(this.#share, this.#share.want(true, below(random, 5)))
    const own = writeSaid(this.#share.said())
    if (!readSaid(own)) throw new Error(`what this host says can't be read: ${own.slice(0, 200)}`)
  }

  renew(): void {
    this.#share = fresh(self)
    settle(this.#share, this.#share.meet(hosts.slice(1)))
    settle(this.#share, this.#share.want(true, 2))
  }
}
