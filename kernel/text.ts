import { createHash } from 'node:crypto'
import type { ChainRow, FieldType, SetRow } from '../core/rows.ts'
import { TABLE } from './names.ts'

/** Names that rules or verdicts refer to; `@th,96,24` are bytes of a packet. */
export function references(rules: readonly string[]): { sets: Set<string>; chains: Set<string> } {
  const text = rules.join('\n').replace(/"[^"]*"/g, '""')
  const names = (pattern: RegExp) => new Set([...text.matchAll(pattern)].map(match => match[1] as string))
  return { sets: names(/@(\w+)\b(?!,)/g), chains: names(/\b(?:jump|goto)\s+(\w+)/g) }
}

/**
 * What every rule of a chain carries as its comment: twelve hex digits over hook and rules. A flush, a deleted, a
 * replaced and an inserted rule all show, without nft's own words having to be parsed back.
 */
export function digest({ hook = '', rules }: Pick<ChainRow, 'hook' | 'rules'>): string {
  return createHash('sha256')
    .update([hook, ...rules].join('\n'))
    .digest('hex')
    .slice(0, 12)
}

/** The comment of a base chain: its hook can't be changed in place, so it has a digest of its own. */
export function hookDigest({ hook = '' }: Pick<ChainRow, 'hook'>): string {
  return hook && digest({ hook, rules: [] })
}

/** nft has no name for the type of some bytes of a packet, so all fields of such a set are told by where they are. */
const typeOf = (type: FieldType) =>
  ({ vni: '@th,96,24', inet_service: 'udp dport', ipv4_addr: 'ip saddr', ipv6_addr: 'ip6 saddr' })[
    type as string
  ] ?? type

const table = `inet ${TABLE}`

export const text = {
  table: `add table ${table}`,
  addSet(row: SetRow): string {
    const value = row.value && (row.value === 'verdict' ? 'verdict' : row.value.join(' . '))
    const type = [row.type.join(' . '), value].filter(Boolean).join(' : ')
    const flags = row.interval ? ' flags interval;' : ''
    const words = row.type.includes('vni') ? `typeof ${row.type.map(typeOf).join(' . ')}` : `type ${type}`
    return `add ${row.value ? 'map' : 'set'} ${table} ${row.name} { ${words};${flags} }`
  },
  deleteSet(row: SetRow): string {
    return `delete ${row.value ? 'map' : 'set'} ${table} ${row.name}`
  },
  addChain(row: ChainRow): string {
    const body = row.hook ? ` { ${row.hook}; comment "${hookDigest(row)}"; }` : ''
    return `add chain ${table} ${row.name}${body}`
  },
  flushChain(name: string): string {
    return `flush chain ${table} ${name}`
  },
  deleteChain(name: string): string {
    return `delete chain ${table} ${name}`
  },
  /** Rules that bring a comment of their own keep it. */
  addRule(chain: string, rule: string, digest: string): string {
    const comment = / comment "/.test(rule) ? '' : ` comment "${digest}"`
    return `add rule ${table} ${chain} ${rule}${comment}`
  },
}
