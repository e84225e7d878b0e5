import { Claims } from './claims.ts'
import type { Sum } from './codec.ts'
import type { Signer } from './keys.ts'
import { Log } from './log.ts'
import type { Mark } from './message.ts'
import { type Entry, placeOf, type Row, type Swap } from './record.ts'

/** What may be set. All times in milliseconds. */
export type Settings = {
  /** 32 hex digits: this member, in the membership layer too. */
  origin: string
  signer: Signer
  /** Whether a key that nobody has pinned may be this origin's. */
  certifies(origin: string, key: Buffer): boolean
  /** How good an endpoint's claim to an address or a MAC is. The higher one wins; of equal ones the first. */
  rank(row: Row, claim: string): number
  /** Up to so many members are told directly; of more, each tells about the square root. */
  direct: number
  /** Writes within this time of the last one are sent together. */
  flushEvery: number
  /** How long a missing number may be on its way before it is asked for. */
  gapDelay: number
  /** After how long an unanswered question is asked again, of somebody else. */
  retryAfter: number
  digestEvery: number
  /** How long one that takes something back is kept, unless all known members have it before. */
  tombstoneAge: number
  /** How long batches of an origin whose key nobody knows are kept. */
  strangerAge: number
  /** How long somebody must have been away before an order to forget it counts: rumour may say of the living that they are dead. */
  absence: number
  /** For how long at most, after somebody lost came back, a member takes it that it may have been cut off itself. */
  reunion: number
}

export const usual = {
  certifies: () => true,
  direct: 256,
  flushEvery: 5,
  gapDelay: 15,
  retryAfter: 1000,
  digestEvery: 1000,
  tombstoneAge: 30 * 60_000,
  strangerAge: 10_000,
  absence: 5000,
  reunion: 60_000,
} as const satisfies Partial<Settings>

export type Member = {
  alive: boolean
  /** Since when it has been so. */
  since: number
  /** Whether it was lost before. */
  back: boolean
  /** When its table was last seen to be equal to ours. */
  agreed: number
}

/** Somebody's word that an origin is no more, which doesn't count yet. */
export type Order = { fence: number; by: string; at: number }

/** Something that is missing from one origin's log, and whom to ask for it. */
export type Errand = { at: number; ask: string }

/** What this member writes itself. */
export type Own = {
  epoch: number
  fence: number
  seq: number
  /** Not yet signed, by place. */
  pending: Map<string, Entry>
  /** When pending ones are sent; undefined when there are none. */
  flushAt: number | undefined
  flushed: number
  /** Nothing is sent until the caller has made this epoch durable. */
  held: boolean
}

/** From the outputs `pin` and `fence`. */
export type Known = {
  pins?: Iterable<[string, Buffer]>
  fences?: Iterable<[string, number]>
  /** Who gave the order that a fence is from. */
  heirs?: Iterable<[string, string]>
  /** Winners of conflicts, by claim. */
  incumbents?: Iterable<[string, string]>
}

/** The replicated table as one member knows it. `step` changes it; the rest of the world reads. */
export class Table {
  readonly settings: Settings
  readonly logs = new Map<string, Log>()
  readonly members = new Map<string, Member>()
  readonly claims: Claims
  /** By network, its hosts: origins with something visible in it, and how much. */
  readonly hosts = new Map<string, Map<string, number>>()
  /** Records of an origin under a lower fence are refused. */
  readonly fences = new Map<string, number>()
  /** Who gave the order to forget an origin, last. */
  readonly heirs: Map<string, string>
  readonly orders = new Map<string, Order>()
  readonly strangers = new Map<string, { batches: Buffer[]; until: number }>()
  readonly errands = new Map<string, Errand>()
  /** Claims that several origins make, and which. */
  readonly conflicts = new Map<string, string>()
  readonly incumbents: Map<string, string>
  /** Somebody's table was equal to ours in this life. */
  settled = false
  own: Own | undefined
  digestAt = 0
  /** When to compare tables again once somebody has agreed. */
  restUntil = 0
  /** When parts were last compared with somebody. */
  comparedAt = Number.NEGATIVE_INFINITY

  /** `known` is what earlier lives were asked to make durable. */
  constructor(settings: Settings, known: Known = {}) {
    this.settings = settings
    this.heirs = new Map(known.heirs)
    this.incumbents = new Map(known.incumbents)
    const veterans = new Set([...(known.pins ?? [])].map(([origin]) => origin))
    this.claims = new Claims({
      rank: settings.rank,
      incumbents: this.incumbents,
      isSettled: () => this.settled,
      isVeteran: origin => veterans.has(origin),
    })
    for (const [origin, fence] of known.fences ?? []) this.fences.set(origin, fence)
    for (const [origin, key] of known.pins ?? []) this.log(origin).key = key
    this.log(settings.origin).key = settings.signer.publicKey
  }

  get origin(): string {
    return this.settings.origin
  }

  log(origin: string): Log {
    const known = this.logs.get(origin) ?? new Log(origin)
    this.logs.set(origin, known)
    return known
  }

  /** Who was lost, is back, and hasn't been heard out yet: what was said on either side of a gap may be news on the other one. */
  regained(now: number): string[] {
    const { reunion } = this.settings
    const all = [...this.members].filter(
      ([, { alive, back, since, agreed }]) => alive && back && agreed < since && now - since < reunion,
    )
    return all.map(([id]) => id)
  }

  alive(): string[] {
    return [...this.members].flatMap(([id, { alive }]) => (alive ? [id] : []))
  }

  /** Every visible record, of one network or of all. */
  *rows(network?: string): Generator<Row> {
    for (const log of this.logs.values()) {
      for (const row of log.visible()) if (network === undefined || row.network === network) yield row
    }
  }

  /** Keeps what is derived from the rows in step with them. Called once a swap, in order. Returns the claims it is about. */
  note({ before, after }: Swap): string[] {
    const row = after ?? before
    if (row) this.#count(row, Number(Boolean(after)) - Number(Boolean(before)))
    return this.claims.replace(before, after)
  }

  /** What is visible under a key of an origin. */
  at(origin: string, entry: Entry): Row | undefined {
    return this.logs.get(origin)?.at(placeOf(entry))
  }

  #count({ network, origin }: Row, difference: number): void {
    const hosts = this.hosts.get(network) ?? new Map<string, number>()
    const count = (hosts.get(origin) ?? 0) + difference
    if (count > 0) this.hosts.set(network, hosts.set(origin, count))
    else if (hosts.delete(origin) && hosts.size === 0) this.hosts.delete(network)
  }

  marks(bucket: (origin: string) => boolean): Mark[] {
    return [...this.logs.values()]
      .filter(({ origin, epoch }) => epoch > 0 && bucket(origin))
      .map(({ origin, fence, epoch, upto }) => ({ origin, fence, epoch, upto }))
  }
}

/** One number of 64 bits for a mark. Not proof against an adversary, who can say that his table is any other anyway. */
export function markSum({ origin, fence, epoch, upto }: Mark): Sum {
  const words = [0, 8, 16, 24].map(at => Number.parseInt(origin.slice(at, at + 8), 16))
  for (const number of [fence, epoch, upto]) words.push(number >>> 0, Math.floor(number / 2 ** 32))
  return [mix(words, 0x9e3779b9), mix(words, 0x85ebca6b)]
}

/** MurmurHash3's 32-bit rounds and end. */
function mix(words: readonly number[], seed: number): number {
  let state = seed
  for (const word of words) {
    let part = Math.imul(word, 0xcc9e2d51)
    part = Math.imul((part << 15) | (part >>> 17), 0x1b873593)
    state ^= part
    state = (Math.imul((state << 13) | (state >>> 19), 5) + 0xe6546b64) | 0
  }
  state = Math.imul(state ^ (state >>> 16), 0x85ebca6b)
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35)
  return (state ^ (state >>> 16)) >>> 0
}
