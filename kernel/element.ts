import { type Element, NFT_SET_ELEM, VERDICT } from '@tsnet/netlink'
import type { ElementRow, SetRow } from '../core/rows.ts'
import { decodeFields, encodeFields, predecessor, successor } from './fields.ts'

/** An element in the kernel's bytes: the first and last key it stands for, and its data. */
export type Encoded = { from: Buffer; to: Buffer; data?: NonNullable<Element['data']> }

const CODES: Record<string, number> = {
  accept: VERDICT.ACCEPT,
  drop: VERDICT.DROP,
  continue: VERDICT.CONTINUE,
  return: VERDICT.RETURN,
}
const LEADING: Record<string, number> = { jump: VERDICT.JUMP, goto: VERDICT.GOTO }

/** Undefined when the row doesn't fit the set. */
export function encodeElement(set: SetRow, row: ElementRow): Encoded | undefined {
  const span = encodeFields(set.type, row.key, set.interval ?? false)
  if (!span || (set.value === undefined) !== (row.value === undefined)) return undefined
  const key = { from: Buffer.from(span.from), to: Buffer.from(span.to) }
  if (set.value === undefined || row.value === undefined) return key
  const data = set.value === 'verdict' ? verdict(row.value.join(' ')) : value(set.value, row.value)
  return data && { ...key, data }
}

function value(
  types: Exclude<SetRow['value'], 'verdict' | undefined>,
  words: readonly string[],
): Encoded['data'] {
  const span = encodeFields(types, words, false)
  return span && { value: Buffer.from(span.from) }
}

function verdict(words: string): Encoded['data'] {
  const [, way, chain] = /^(jump|goto) (\w+)$/.exec(words) ?? []
  const code = way ? LEADING[way] : CODES[words]
  return code === undefined ? undefined : { verdict: { code, ...(chain ? { chain } : {}) } }
}

/** The row of an element, in our own words. */
export function decodeElement(set: SetRow, { from, to, data }: Encoded): ElementRow {
  const row: ElementRow = { kind: 'element', set: set.name, key: decodeFields(set.type, { from, to }) }
  if (data?.verdict) return { ...row, value: [verdictWords(data.verdict)] }
  if (!data?.value || set.value === undefined || set.value === 'verdict') return row
  return { ...row, value: decodeFields(set.value, { from: data.value, to: data.value }) }
}

function verdictWords({ code, chain }: { code?: number; chain?: string }): string {
  const named = ([, each]: [string, number]) => each === code
  const way = Object.entries(LEADING).find(named)
  return way ? `${way[0]} ${chain}` : (Object.entries(CODES).find(named)?.[0] ?? String(code))
}

/** What the kernel takes as the identity of an element. */
export function identity({ from, to }: Encoded): string {
  return `${from.toString('hex')}-${to.toString('hex')}`
}

export function sameData(one: Encoded, other: Encoded): boolean {
  const plain = ({ data }: Encoded) =>
    data?.verdict ? `${data.verdict.code} ${data.verdict.chain}` : data?.value?.toString('hex')
  return plain(one) === plain(other)
}

/** A single field's interval is two elements, where it begins and where the next value does (nft_set_rbtree.c). */
export function inPairs(set: SetRow): boolean {
  return set.interval === true && set.type.length === 1
}

/** NFTA_SET_ELEM_KEY_END, which sets of concatenated intervals want (nft_set_pipapo.c). */
const keyEnd = (set: SetRow, to: Buffer) => (set.interval ? { keyEnd: { value: to } } : {})

export function toKernel(set: SetRow, { from, to, data }: Encoded): Element[] {
  const start: Element = { key: { value: from }, ...(data ? { data } : {}) }
  if (!inPairs(set)) return [{ ...start, ...keyEnd(set, to) }]
  const next = successor(to)
  return next ? [start, { key: { value: Buffer.from(next) }, flags: NFT_SET_ELEM.INTERVAL_END }] : [start]
}

export function fromKernel({ key, keyEnd, data }: Element): Encoded[] {
  if (!key?.value) return []
  return [{ from: key.value, to: keyEnd?.value ?? key.value, ...(data ? { data } : {}) }]
}

/** Intervals from their ends. The last one may be open: it runs to the highest value. */
export function pair(elements: readonly Element[]): Encoded[] {
  const isEnd = (element: Element) => ((element.flags ?? 0) & NFT_SET_ELEM.INTERVAL_END) !== 0
  const bytes = (element: Element) => element.key?.value ?? Buffer.alloc(0)
  const sorted = elements.toSorted(
    (a, b) => Buffer.compare(bytes(a), bytes(b)) || Number(isEnd(b)) - Number(isEnd(a)),
  )
  return sorted.flatMap((element, i) => {
    if (isEnd(element)) return []
    const next = sorted[i + 1]
    const last = next ? predecessor(bytes(next)) : Buffer.alloc(bytes(element).length, 0xff)
    return fromKernel(element).map(each => ({ ...each, to: Buffer.from(last ?? bytes(element)) }))
  })
}
