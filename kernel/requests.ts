import {
  delChain,
  delRule,
  delSet,
  NFPROTO,
  NFT_SET,
  newChain,
  newRule,
  newSet,
  newTable,
  type Request,
  type Rule,
} from '@tsnet/netlink'
import type { ChainRow, SetRow } from '../core/rows.ts'
import { hookDigest } from './digest.ts'
import { typeId, WIDTH, width } from './fields.ts'
import { listing } from './listing.ts'
import { TABLE } from './names.ts'
import { compile } from './rule.ts'

/** NFT_DATA_VERDICT (linux/netfilter/nf_tables.h). */
export const VERDICT_TYPE = 0xffffff00
export const ours = { family: NFPROTO.INET, table: TABLE }

/** Hooks of the families `ip` and `inet` (enum nf_inet_hooks), and nft's names for priorities (nft(8), "CHAINS"). */
const HOOKS: Record<string, number> = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 }
const PRIORITIES: Record<string, number> = { raw: -300, dstnat: -100, filter: 0, srcnat: 100 }

/** `type filter hook forward priority filter - 5`. @throws Error when the words are others */
export function hookOf(words: string): { type: string; hook: { hook: number; priority: number } } {
  const pattern = /^type (filter|nat) hook (\w+) priority (\w+|-\d+)(?: ([+-] \d+))?$/
  const [, type = '', place = '', base = '', offset = '0'] = pattern.exec(words) ?? []
  const hook = HOOKS[place]
  const priority = (PRIORITIES[base] ?? Number(base)) + Number(offset.replace(' ', ''))
  if (hook === undefined || Number.isNaN(priority)) throw new Error(`hook "${words}" is not understood`)
  return { type, hook: { hook, priority } }
}

/** nft's comment: type 0 (NFTNL_UDATA_RULE_COMMENT, NFTNL_UDATA_CHAIN_COMMENT), length, text and a NUL. */
const commented = (text: string) => ({
  userdata: Buffer.concat([Buffer.from([0, text.length + 1]), Buffer.from(`${text}\0`)]),
})

export function commentOf(userdata: Buffer | undefined): string {
  for (let at = 0; userdata && at + 2 <= userdata.length; at += 2 + (userdata[at + 1] as number)) {
    if (userdata[at] === 0) return userdata.toString('utf8', at + 2, at + 1 + (userdata[at + 1] as number))
  }
  return ''
}

const table = newTable({ family: NFPROTO.INET, name: TABLE })

/** Requests of one transaction. */
export const request = {
  table,
  addSet: (row: SetRow, id: number): Request<undefined> =>
    newSet({ ...ours, name: row.name, id, ...described(row) }),
  deleteSet: (name: string): Request<undefined> => delSet({ ...ours, name }),
  addChain: (row: ChainRow): Request<undefined> =>
    newChain({
      ...ours,
      name: row.name,
      ...(row.hook !== undefined && { ...hookOf(row.hook), ...commented(hookDigest(row)) }),
    }),
  flushChain: (chain: string): Request<undefined> => delRule({ ...ours, chain }),
  deleteChain: (name: string): Request<undefined> => delChain({ ...ours, name }),
  addRule: (chain: string, rule: string, digest: string): Request<undefined> =>
    newRule({ ...ours, chain, expressions: compile(rule), ...commented(digest) }),
  /** A rule as the kernel told it. */
  addAgain: ({ chain = '', expressions = [], userdata }: Rule): Request<undefined> =>
    newRule({ ...ours, chain, expressions, ...(userdata && { userdata }) }),
}

function described({ type, value, interval = false }: SetRow) {
  const concatenated = interval && type.length > 1
  const flags =
    (interval ? NFT_SET.INTERVAL : 0) | (value ? NFT_SET.MAP : 0) | (concatenated ? NFT_SET.CONCAT : 0)
  return {
    flags,
    keyType: typeId(type),
    keyLength: width(type),
    ...(value && valued(value)),
    ...(concatenated && { description: { concat: type.map(each => ({ length: WIDTH[each] })) } }),
    userdata: listing(type, value),
  }
}

const valued = (value: NonNullable<SetRow['value']>) =>
  value === 'verdict' ? { dataType: VERDICT_TYPE } : { dataType: typeId(value), dataLength: width(value) }
