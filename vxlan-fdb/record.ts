import { hash } from 'node:crypto'
import type { Sum } from './codec.ts'

/** What a record is about. Numbers are on the wire; those the table doesn't know itself are carried all the same. */
export const kinds = { host: 1, network: 2, block: 3, endpoint: 4, name: 5, fence: 6, prefix: 7 } as const

/** What one writer says under one key; no value takes it back. */
export type Entry = {
  /** Empty for what concerns no network. At most 128 bytes. */
  network: string
  /** 1 to 255. */
  kind: number
  /** At most 255 bytes. */
  key: string
  /** At most 32 KiB. */
  value?: Buffer | undefined
}

/** An entry with its version: `epoch` is the writer's life, `seq` counts within it. */
export type Row = Entry & { origin: string; epoch: number; seq: number }

/** What became different in the table. `before` and `value` are absent where there was, or is, nothing. */
export type Change = Entry & { origin: string; before?: Buffer | undefined }

/** One visible row in another's place, which may say the same under a newer version. */
export type Swap = { before?: Row | undefined; after?: Row | undefined }

/** Empty when only the version is another. */
export function changesOf({ before, after }: Swap): Change[] {
  const row = after ?? before
  if (!row || (before?.value && after?.value?.equals(before.value))) return []
  const { network, kind, key, origin } = row
  return [{ network, kind, key, origin, value: after?.value, before: before?.value }]
}

/** The place of an entry among those of its writer. */
export const placeOf = ({ network, kind, key }: Entry): string => `${network}\0${kind}\0${key}`

/** 64 bits of SHA-256 over an entry with a value. */
export function sumOf({ network, kind, key, value }: Entry): Sum {
  const head = Buffer.from(`${network.length} ${kind} ${key.length} ${network}${key}`)
  const digest = hash('sha256', Buffer.concat([head, value ?? Buffer.alloc(0)]), 'buffer')
  return [digest.readUInt32LE(0), digest.readUInt32LE(4)]
}

/** The sum of a set doesn't depend on an order, and one entry comes or goes without the others being read. */
export const plus = (a: Sum, b: Sum): Sum => [(a[0] + b[0]) >>> 0, (a[1] + b[1]) >>> 0]
export const minus = (a: Sum, b: Sum): Sum => [(a[0] - b[0]) >>> 0, (a[1] - b[1]) >>> 0]
export const same = (a: Sum, b: Sum): boolean => a[0] === b[0] && a[1] === b[1]
