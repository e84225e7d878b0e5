import { createHash } from 'node:crypto'
import type { ChainRow } from '../core/rows.ts'

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
