import { Refused } from '../core/errors.ts'
import {
  contains,
  formatPrefix,
  hostable,
  includes,
  overlaps,
  type Prefix,
  parseAddress,
  size,
} from './prefix.ts'
import type { Held } from './reclaim.ts'

/** The part of a pool that is this host's, when other hosts give addresses of the same pool. */
export type Portion = {
  /** Prefixes that only this host hands out of. */
  blocks(): readonly Prefix[]
  /** Tells how many addresses are still free in them, so that more come in time. */
  left(count: number): void
  /** Asks for one more block and resolves when it is there; throws Refused telling why none came. */
  more(): Promise<void>
}

export function explicitAddress(
  { record, prefix, addresses }: Held,
  text: string,
  portion?: Portion,
): bigint {
  const address = parseAddress(text)
  if (!address) throw new Refused(`address "${text}" is none`)
  if (!includes(prefix, address)) throw new Refused(`${text} is not inside subnet ${record.pool}`)
  if (!hostable(prefix, address.value)) {
    throw new Refused(`${text} is the network's own or its broadcast address in ${record.pool}`)
  }
  const blocks = portion?.blocks()
  if (blocks && !addresses.grant(address.value) && !blocks.some(block => includes(block, address)))
    throw new Refused(
      `${text} is not this host's to give: other hosts share ${record.pool}, and --ip can be in ${listed(blocks)} here`,
    )
  return address.value
}

const listed = (blocks: readonly Prefix[]) => blocks.map(formatPrefix).join(' or ') || 'no block yet'

export function nextAddress(held: Held, portion?: Portion): bigint {
  const { record, addresses } = held
  const value = addresses.next(partsOf(held, portion))
  if (value === undefined) throw new Refused(`no address is free in ${record.range ?? record.pool}`)
  return value
}

/** Where automatic addresses come from: of each block what the range leaves of it. */
export function partsOf({ addresses: { range } }: Held, portion?: Portion): readonly Prefix[] {
  if (!portion) return [range]
  return portion.blocks().flatMap(block => {
    if (!overlaps(block, range)) return []
    return contains(range, block) ? block : range
  })
}

/** Too few by those that are taken outside, such as the gateway: the next block then comes a little earlier. */
export function freeIn(held: Held, portion: Portion): number {
  const all = partsOf(held, portion).reduce((sum, part) => sum + size(part), 0n)
  return Number(all) - held.addresses.count
}
