import { attribute, attributes, nested, type Table, type ValuesOf } from '../attributes.ts'
import { be32, text } from '../codec.ts'
import { Writer } from '../writer.ts'
import { dataSet } from './tables.ts'

/** enum nft_meta_keys (linux/netfilter/nf_tables.h), as far as they are of use here. */
export const NFT_META = {
  IIFNAME: 6,
  OIFNAME: 7,
  NFPROTO: 15,
  L4PROTO: 16,
  IIFGROUP: 21,
  OIFGROUP: 22,
} as const
/** enum nft_payload_bases */
export const NFT_PAYLOAD = { NETWORK: 1, TRANSPORT: 2 } as const
/** enum nft_cmp_ops */
export const NFT_CMP = { EQ: 0, NEQ: 1 } as const
/** enum nft_ct_keys */
export const NFT_CT = { STATE: 0, STATUS: 2 } as const
/** enum nft_nat_types */
export const NFT_NAT = { SNAT: 0, DNAT: 1 } as const
/** NFTA_FIB_F_DADDR, NFT_FIB_RESULT_ADDRTYPE */
export const NFT_FIB = { DADDR: 2, ADDRTYPE: 3 } as const
/** NFT_REG_VERDICT, and the first of sixteen registers of four bytes (NFT_REG32_00). */
export const NFT_REG = { VERDICT: 0, FIRST: 8 } as const

export const metaSet = attributes({
  dreg: attribute(1, 'NFTA_META_DREG', be32),
  key: attribute(2, 'NFTA_META_KEY', be32),
})
export const payloadSet = attributes({
  dreg: attribute(1, 'NFTA_PAYLOAD_DREG', be32),
  base: attribute(2, 'NFTA_PAYLOAD_BASE', be32),
  offset: attribute(3, 'NFTA_PAYLOAD_OFFSET', be32),
  length: attribute(4, 'NFTA_PAYLOAD_LEN', be32),
})
export const connectionSet = attributes({
  dreg: attribute(1, 'NFTA_CT_DREG', be32),
  key: attribute(2, 'NFTA_CT_KEY', be32),
})
export const fibSet = attributes({
  dreg: attribute(1, 'NFTA_FIB_DREG', be32),
  result: attribute(2, 'NFTA_FIB_RESULT', be32),
  flags: attribute(3, 'NFTA_FIB_FLAGS', be32),
})
export const numgenSet = attributes({
  dreg: attribute(1, 'NFTA_NG_DREG', be32),
  modulus: attribute(2, 'NFTA_NG_MODULUS', be32),
  type: attribute(3, 'NFTA_NG_TYPE', be32),
})
export const bitwiseSet = attributes({
  sreg: attribute(1, 'NFTA_BITWISE_SREG', be32),
  dreg: attribute(2, 'NFTA_BITWISE_DREG', be32),
  length: attribute(3, 'NFTA_BITWISE_LEN', be32),
  mask: attribute(4, 'NFTA_BITWISE_MASK', nested(dataSet)),
  xor: attribute(5, 'NFTA_BITWISE_XOR', nested(dataSet)),
})
export const compareSet = attributes({
  sreg: attribute(1, 'NFTA_CMP_SREG', be32),
  op: attribute(2, 'NFTA_CMP_OP', be32),
  data: attribute(3, 'NFTA_CMP_DATA', nested(dataSet)),
})
/** `setId` is that of a set that is new in the same transaction; without `dreg`, what is in no set ends the rule. */
export const lookupSet = attributes({
  set: attribute(1, 'NFTA_LOOKUP_SET', text),
  sreg: attribute(2, 'NFTA_LOOKUP_SREG', be32),
  dreg: attribute(3, 'NFTA_LOOKUP_DREG', be32),
  setId: attribute(4, 'NFTA_LOOKUP_SET_ID', be32),
  /** 1 (NFT_LOOKUP_F_INV): what is in the set ends it. */
  flags: attribute(5, 'NFTA_LOOKUP_FLAGS', be32),
})
export const immediateSet = attributes({
  dreg: attribute(1, 'NFTA_IMMEDIATE_DREG', be32),
  data: attribute(2, 'NFTA_IMMEDIATE_DATA', nested(dataSet)),
})
export const natSet = attributes({
  type: attribute(1, 'NFTA_NAT_TYPE', be32),
  family: attribute(2, 'NFTA_NAT_FAMILY', be32),
  address: attribute(3, 'NFTA_NAT_REG_ADDR_MIN', be32),
  port: attribute(5, 'NFTA_NAT_REG_PROTO_MIN', be32),
})
const nothing = attributes({})

const kinds = {
  meta: metaSet,
  payload: payloadSet,
  ct: connectionSet,
  fib: fibSet,
  numgen: numgenSet,
  bitwise: bitwiseSet,
  cmp: compareSet,
  lookup: lookupSet,
  immediate: immediateSet,
  nat: natSet,
  masq: nothing,
  notrack: nothing,
}
type Kinds = typeof kinds
type Values<K extends keyof Kinds> = Kinds[K] extends { table: infer T extends Table } ? ValuesOf<T> : never

/** A step of a rule: it loads registers, goes on or ends the rule by what is in them, or does something to the packet. */
export type Expression = { name?: string; data?: Buffer }

/** An expression of a rule, in the kernel's name and its values in the order of its attributes. */
export function expression<K extends keyof Kinds>(name: K, values: Values<K>): Expression {
  const out = new Writer(64)
  kinds[name].write(out, values as never)
  return { name, data: Buffer.from(out.bytes.subarray(0, out.at)) }
}

/** The set that an expression looks into, by name. */
export function lookedUp({ name, data = Buffer.alloc(0) }: Expression): string | undefined {
  return name === 'lookup' ? lookupSet.read(data, 0, data.length).set : undefined
}
