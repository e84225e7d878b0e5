import * as z from 'zod'
import type { Kept, Said } from './share.ts'

/** How shares lie in a record and on disk: JSON, with blocks as runs of `[first, count]`, for there are up to 4096. */

/** Blocks of a pool at most (`blockLength`). */
const MOST = 4096
/** Gifts that one record says: it has to be smaller than 32 KiB. The others are said when these have been taken. */
const GIFTS = 128

/** Bytes of a record's value. Where a host has thousands of blocks apart from each other, it shows no deeds: then who was first is believed. */
const ROOM = 32 * 1024

const natural = z.int().min(0)
const runs = z
  .array(z.tuple([natural.max(MOST - 1), natural.min(1).max(MOST)]))
  .max(MOST)
  .refine(all => all.every(([first, count]) => first + count <= MOST), 'block out of range')
  .transform(all => all.flatMap(([first, count]) => Array.from({ length: count }, (_, at) => first + at)))

/** 32 hex digits: what is a key of an object here must not be one of its own words. */
const host = z.string().regex(/^[0-9a-f]{32}$/)
const fences = z.record(host, z.object({ generation: natural, life: natural }))
const deed = z.object({ from: host, to: host, blocks: runs, seal: z.string().max(256) })
/** One is of one giver; those of hosts whose place was taken come to it. */
const deeds = z.array(deed).max(256).optional()
const ballot = { vote: host.optional(), founded: z.boolean() }

const word = z.object({
  life: natural,
  generation: natural,
  level: z.union([z.literal(0), z.literal(1), z.literal(2)]),
  kept: runs,
  free: runs,
  deeds,
  fences,
  ask: z.object({ id: z.string().max(64), of: host, life: natural, count: natural }).optional(),
  gifts: z.array(z.object({ to: host, ask: z.string().max(64), blocks: runs, deed: deed.optional() })),
})
const said = z.object({ ...ballot, word })

const heir = z.record(host, z.object({ life: natural, blocks: runs, deeds }))
const disk = z.object({ generation: natural, kept: runs, free: runs, fences, heir, deeds })
const kept = z.object({ ...ballot, disk })

export function writeSaid({ word, ...ballot }: Said): string {
  const { deeds, ...most } = { ...word, gifts: word.gifts.slice(0, GIFTS) }
  const whole = JSON.stringify({ ...ballot, word: { ...most, deeds } }, inRuns)
  return whole.length <= ROOM ? whole : JSON.stringify({ ...ballot, word: most }, inRuns)
}

/** Undefined for what isn't one: whoever wrote it signed nonsense. */
export const readSaid = (text: string): Said | undefined => read(said, text) as Said | undefined

export const writeKept = (value: Kept): string => JSON.stringify(value, inRuns)

/** @throws TypeError when it isn't what `writeKept` wrote: addresses must not be guessed. */
export function readKept(text: string): Kept {
  const value = read(kept, text)
  if (!value) throw new TypeError('blocks of addresses on disk are unreadable')
  return value as Kept
}

function read<T extends z.ZodType>(shape: T, text: string): z.infer<T> | undefined {
  try {
    return shape.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

const lists = new Set(['kept', 'free', 'blocks'])
const inRuns = (key: string, value: unknown) => (lists.has(key) ? toRuns(value as number[]) : value)

function toRuns(blocks: readonly number[]): [number, number][] {
  const all: [number, number][] = []
  for (const block of blocks.toSorted((a, b) => a - b)) {
    const last = all.at(-1)
    if (last && last[0] + last[1] === block) last[1]++
    else all.push([block, 1])
  }
  return all
}
