import { createHash } from 'node:crypto'
import { Refused } from '../core/errors.ts'
import type { Pool } from '../core/records.ts'
import { contains, type Family, formatPrefix, overlaps, type Prefix, parsePrefix, size } from './prefix.ts'

export type Space = Pool['space']

/** A prefix that is cut into pools of `length`. */
type Block = { of: string; length: number }

/**
 * Where pools come from when the user named none. Docker's own networks take whole /16 of 172.17 to 172.31, from below, then /20 of
 * 192.168. Ours come from above and fill one /16 with sixteen pools, each four times what a bridge has ports for (1024), so that
 * Docker loses a choice only every sixteenth network. 172.31 is last but one: cloud providers route it behind gateways, where
 * no route of this host tells of it. 172.17 is docker0.
 */
const local: readonly Block[] = [
  ...Array.from({ length: 13 }, (_, i) => ({ of: `172.${30 - i}.0.0/16`, length: 20 })),
  { of: '192.168.0.0/16', length: 20 },
  { of: '172.31.0.0/16', length: 20 },
  { of: '172.17.0.0/16', length: 20 },
]

/** A network over many hosts: none of them may have it as a local one. Swarm's own begin at 10.0.0.0. */
const global: readonly Block[] = [{ of: '10.208.0.0/12', length: 20 }]

/** What Docker calls the pool. It keeps this in its own store, so it must come out the same forever. */
export function poolId(space: Space, pool: Prefix, range?: Prefix): string {
  const words = [space, `ipv${pool.family}`, formatPrefix(pool)]
  return [...words, ...(range ? [formatPrefix(range)] : [])].join('/')
}

/**
 * The first default pool that is clear of everything in `taken`. `seed` is this host's: RFC 4193 wants 40 random bits behind fd.
 * @throws Refused when there is none left, for dockerd asks again at once and without end as long as it gets a pool it can't use.
 */
export function choosePool(space: Space, family: Family, seed: string, taken: readonly Prefix[]): Prefix {
  const blocks = family === 6 ? [uniqueLocal(seed)] : space === 'local' ? local : global
  // A default route isn't somebody's network.
  const others = taken.filter(prefix => prefix.family === family && prefix.length > 0)
  for (const candidate of cut(blocks)) {
    if (!others.some(other => overlaps(candidate, other))) return candidate
  }
  throw new Refused(
    `no default IPv${family} pool is free of other networks and of this host's routes: give one with --subnet`,
  )
}

/**
 * Checks what the user asked for.
 * @throws Refused for a range outside its pool and for prefixes that hosts can't have addresses of.
 */
export function explicitPool(poolText: string, rangeText: string): { pool: Prefix; range?: Prefix } {
  const pool = parsePrefix(poolText, 'subnet')
  const odd = unfit.find(other => overlaps(pool, other))
  if (odd)
    throw new Refused(
      `subnet ${formatPrefix(pool)} overlaps ${formatPrefix(odd)}, which no container can use`,
    )
  if (!rangeText) return { pool }
  const range = parsePrefix(rangeText, 'ip-range')
  if (!contains(pool, range)) {
    throw new Refused(`ip-range ${formatPrefix(range)} is not inside subnet ${formatPrefix(pool)}`)
  }
  return { pool, range }
}

/** Unspecified, loopback and multicast (RFC 6890). */
const unfit = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/4', '::/127', 'ff00::/8'].map(text =>
  parsePrefix(text, 'prefix'),
)

function uniqueLocal(seed: string): Block {
  const id = createHash('sha256').update(`tsnet ${seed}`).digest('hex')
  return { of: `fd${id.slice(0, 2)}:${id.slice(2, 6)}:${id.slice(6, 10)}::/48`, length: 64 }
}

function* cut(blocks: readonly Block[]): Generator<Prefix> {
  for (const { of, length } of blocks) {
    const whole = parsePrefix(of, 'default range')
    const step = size({ ...whole, length })
    for (let first = whole.first; first < whole.first + size(whole); first += step) {
      yield { family: whole.family, first, length }
    }
  }
}
