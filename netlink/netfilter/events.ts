import { attribute, attributes } from '../attributes.ts'
import { text } from '../codec.ts'
import { type AnyBody, body, type Received } from '../message.ts'
import { nfgenmsg } from './batch.ts'
import type { Generation } from './nftables.ts'
import { generationBody, NFT_MSG } from './tables.ts'

/** Whom a change is about. `message` is one of NFT_MSG; the generation comes last, once for each transaction. */
export type NftablesEvent = {
  message: number
  family: number
  table?: string
  chain?: string
  set?: string
  generation?: Generation
}

export const tableNameSet = attributes({ table: attribute(1, 'NFTA_TABLE_NAME', text) })
export const chainNameSet = attributes({
  table: attribute(1, 'NFTA_CHAIN_TABLE', text),
  chain: attribute(3, 'NFTA_CHAIN_NAME', text),
})
export const ruleNameSet = attributes({
  table: attribute(1, 'NFTA_RULE_TABLE', text),
  chain: attribute(2, 'NFTA_RULE_CHAIN', text),
})
export const setNameSet = attributes({
  table: attribute(1, 'NFTA_SET_TABLE', text),
  set: attribute(2, 'NFTA_SET_NAME', text),
})
export const elementNameSet = attributes({
  table: attribute(1, 'NFTA_SET_ELEM_LIST_TABLE', text),
  set: attribute(2, 'NFTA_SET_ELEM_LIST_SET', text),
})

const names = new Map<number, AnyBody>([
  [NFT_MSG.NEWTABLE, body(nfgenmsg, tableNameSet)],
  [NFT_MSG.DELTABLE, body(nfgenmsg, tableNameSet)],
  [NFT_MSG.NEWCHAIN, body(nfgenmsg, chainNameSet)],
  [NFT_MSG.DELCHAIN, body(nfgenmsg, chainNameSet)],
  [NFT_MSG.NEWRULE, body(nfgenmsg, ruleNameSet)],
  [NFT_MSG.DELRULE, body(nfgenmsg, ruleNameSet)],
  [NFT_MSG.NEWSET, body(nfgenmsg, setNameSet)],
  [NFT_MSG.DELSET, body(nfgenmsg, setNameSet)],
  [NFT_MSG.NEWSETELEM, body(nfgenmsg, elementNameSet)],
  [NFT_MSG.DELSETELEM, body(nfgenmsg, elementNameSet)],
])

/** Names what an nf_tables event is about, without reading what it says of it. Of objects and flowtables it tells the family alone. */
export function readNftables({ type, bytes, from, to }: Received): NftablesEvent {
  const message = type & 0xff
  if (message === NFT_MSG.NEWGEN) {
    const generation = generationBody.read(bytes, from, to)
    return { message, family: generation.family, generation }
  }
  const name = names.get(message)
  if (!name) return { message, family: bytes[from] ?? 0 }
  const { family, table, chain, set } = name.read(bytes, from, to)
  return { message, family, ...(table && { table }), ...(chain && { chain }), ...(set && { set }) }
}
