import { createHash } from 'node:crypto'
import type { ChainRow } from '../core/rows.ts'

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
