import { crc32 } from 'node:zlib'

/**
 * SQLite keeps no checksum of what it has in its main file, and takes a damaged log for one that ends earlier. So each row
 * carries a checksum, and one more row, the seal, tells what all rows come to and how many commits there were.
 */
export type Row = { kind: string; id: string; json: string; crc: number }

/** Raised with every change of what the rows mean. */
export const version = 1

export type Seal = { version: number; commits: number; rows: number; sum: number }

export const sealKind = 'seal'

export function row(kind: string, id: string, value: unknown): Row {
  const json = JSON.stringify(value)
  return { kind, id, json, crc: checksum(kind, id, json) }
}

export function isIntact({ kind, id, json, crc }: Row): boolean {
  return crc === checksum(kind, id, json)
}

export const noRows: Seal = { version, commits: 0, rows: 0, sum: 0 }

/** The seal after one row was taken away, put in or replaced. Checksums are summed modulo 2^32, so their order is nothing. */
export function reseal(seal: Seal, before: Row | undefined, after: Row | undefined): Seal {
  const rows = seal.rows - (before ? 1 : 0) + (after ? 1 : 0)
  return { ...seal, rows, sum: (seal.sum - (before?.crc ?? 0) + (after?.crc ?? 0)) >>> 0 }
}

function checksum(kind: string, id: string, json: string): number {
  return crc32(`${kind} ${id}\n${json}`)
}
