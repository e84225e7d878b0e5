import { attribute, attributes, list, nested } from '../attributes.ts'
import { be32, be64, bes32, raw, text } from '../codec.ts'
import { body } from '../message.ts'
import { nfgenmsg } from './batch.ts'

/** enum nf_tables_msg_types (linux/netfilter/nf_tables.h). */
export const NFT_MSG = {
  NEWTABLE: 0,
  GETTABLE: 1,
  DELTABLE: 2,
  NEWCHAIN: 3,
  GETCHAIN: 4,
  DELCHAIN: 5,
  NEWRULE: 6,
  GETRULE: 7,
  DELRULE: 8,
  NEWSET: 9,
  GETSET: 10,
  DELSET: 11,
  NEWSETELEM: 12,
  GETSETELEM: 13,
  DELSETELEM: 14,
  NEWGEN: 15,
  GETGEN: 16,
} as const

/** `family` of a table (enum nfproto). */
export const NFPROTO = { UNSPEC: 0, INET: 1, IPV4: 2, ARP: 3, NETDEV: 5, BRIDGE: 7, IPV6: 10 } as const

/** Flags of a set (enum nft_set_flags). */
export const NFT_SET = {
  ANONYMOUS: 0x1,
  CONSTANT: 0x2,
  INTERVAL: 0x4,
  MAP: 0x8,
  TIMEOUT: 0x10,
  EVAL: 0x20,
  OBJECT: 0x40,
  CONCAT: 0x80,
  EXPR: 0x100,
} as const

/** Flags of an element (enum nft_set_elem_flags). */
export const NFT_SET_ELEM = { INTERVAL_END: 0x1, CATCHALL: 0x2 } as const

/** Verdict codes below zero (enum nft_verdicts) and netfilter's own from zero on (linux/netfilter.h). */
export const VERDICT = {
  DROP: 0,
  ACCEPT: 1,
  CONTINUE: -1,
  BREAK: -2,
  JUMP: -3,
  GOTO: -4,
  RETURN: -5,
} as const

export const verdictSet = attributes({
  code: attribute(1, 'NFTA_VERDICT_CODE', bes32),
  chain: attribute(2, 'NFTA_VERDICT_CHAIN', text),
  chainId: attribute(3, 'NFTA_VERDICT_CHAIN_ID', be32),
})

/** Register contents: bytes as the packet has them, each field padded to four; or a verdict. */
export const dataSet = attributes({
  value: attribute(1, 'NFTA_DATA_VALUE', raw),
  verdict: attribute(2, 'NFTA_DATA_VERDICT', nested(verdictSet)),
})
const data = nested(dataSet)

export const expressionSet = attributes({
  name: attribute(1, 'NFTA_EXPR_NAME', text),
  data: attribute(2, 'NFTA_EXPR_DATA', nested(raw)),
})
const LIST_ELEM = 1
const expressions = list(LIST_ELEM, nested(expressionSet))

export const tableSet = attributes({
  name: attribute(1, 'NFTA_TABLE_NAME', text),
  flags: attribute(2, 'NFTA_TABLE_FLAGS', be32),
  use: attribute(3, 'NFTA_TABLE_USE', be32),
  handle: attribute(4, 'NFTA_TABLE_HANDLE', be64),
  userdata: attribute(6, 'NFTA_TABLE_USERDATA', raw),
  owner: attribute(7, 'NFTA_TABLE_OWNER', be32),
})

export const hookSet = attributes({
  hook: attribute(1, 'NFTA_HOOK_HOOKNUM', be32),
  priority: attribute(2, 'NFTA_HOOK_PRIORITY', bes32),
  device: attribute(3, 'NFTA_HOOK_DEV', text),
  devices: attribute(4, 'NFTA_HOOK_DEVS', list(3, text)),
})

export const counterSet = attributes({
  bytes: attribute(1, 'NFTA_COUNTER_BYTES', be64),
  packets: attribute(2, 'NFTA_COUNTER_PACKETS', be64),
})

export const chainSet = attributes({
  table: attribute(1, 'NFTA_CHAIN_TABLE', text),
  handle: attribute(2, 'NFTA_CHAIN_HANDLE', be64),
  name: attribute(3, 'NFTA_CHAIN_NAME', text),
  hook: attribute(4, 'NFTA_CHAIN_HOOK', nested(hookSet)),
  policy: attribute(5, 'NFTA_CHAIN_POLICY', be32),
  use: attribute(6, 'NFTA_CHAIN_USE', be32),
  type: attribute(7, 'NFTA_CHAIN_TYPE', text),
  counters: attribute(8, 'NFTA_CHAIN_COUNTERS', nested(counterSet)),
  flags: attribute(10, 'NFTA_CHAIN_FLAGS', be32),
  id: attribute(11, 'NFTA_CHAIN_ID', be32),
  userdata: attribute(12, 'NFTA_CHAIN_USERDATA', raw),
})

export const ruleSet = attributes({
  table: attribute(1, 'NFTA_RULE_TABLE', text),
  chain: attribute(2, 'NFTA_RULE_CHAIN', text),
  handle: attribute(3, 'NFTA_RULE_HANDLE', be64),
  expressions: attribute(4, 'NFTA_RULE_EXPRESSIONS', expressions),
  position: attribute(6, 'NFTA_RULE_POSITION', be64),
  userdata: attribute(7, 'NFTA_RULE_USERDATA', raw),
  id: attribute(9, 'NFTA_RULE_ID', be32),
  positionId: attribute(10, 'NFTA_RULE_POSITION_ID', be32),
  chainId: attribute(11, 'NFTA_RULE_CHAIN_ID', be32),
})

export const fieldSet = attributes({ length: attribute(1, 'NFTA_SET_FIELD_LEN', be32) })

export const descriptionSet = attributes({
  size: attribute(1, 'NFTA_SET_DESC_SIZE', be32),
  concat: attribute(2, 'NFTA_SET_DESC_CONCAT', list(LIST_ELEM, nested(fieldSet))),
})

/** `keyType` and `dataType` mean something to nft alone; lengths are bytes. Times in milliseconds. */
export const setSet = attributes({
  table: attribute(1, 'NFTA_SET_TABLE', text),
  name: attribute(2, 'NFTA_SET_NAME', text),
  flags: attribute(3, 'NFTA_SET_FLAGS', be32),
  keyType: attribute(4, 'NFTA_SET_KEY_TYPE', be32),
  keyLength: attribute(5, 'NFTA_SET_KEY_LEN', be32),
  dataType: attribute(6, 'NFTA_SET_DATA_TYPE', be32),
  dataLength: attribute(7, 'NFTA_SET_DATA_LEN', be32),
  policy: attribute(8, 'NFTA_SET_POLICY', be32),
  description: attribute(9, 'NFTA_SET_DESC', nested(descriptionSet)),
  id: attribute(10, 'NFTA_SET_ID', be32),
  timeout: attribute(11, 'NFTA_SET_TIMEOUT', be64),
  gcInterval: attribute(12, 'NFTA_SET_GC_INTERVAL', be32),
  userdata: attribute(13, 'NFTA_SET_USERDATA', raw),
  objectType: attribute(15, 'NFTA_SET_OBJ_TYPE', be32),
  handle: attribute(16, 'NFTA_SET_HANDLE', be64),
  expression: attribute(17, 'NFTA_SET_EXPR', nested(expressionSet)),
  expressions: attribute(18, 'NFTA_SET_EXPRESSIONS', expressions),
})

export const elementSet = attributes({
  key: attribute(1, 'NFTA_SET_ELEM_KEY', data),
  data: attribute(2, 'NFTA_SET_ELEM_DATA', data),
  flags: attribute(3, 'NFTA_SET_ELEM_FLAGS', be32),
  timeout: attribute(4, 'NFTA_SET_ELEM_TIMEOUT', be64),
  expiration: attribute(5, 'NFTA_SET_ELEM_EXPIRATION', be64),
  userdata: attribute(6, 'NFTA_SET_ELEM_USERDATA', raw),
  expression: attribute(7, 'NFTA_SET_ELEM_EXPR', nested(expressionSet)),
  object: attribute(9, 'NFTA_SET_ELEM_OBJREF', text),
  keyEnd: attribute(10, 'NFTA_SET_ELEM_KEY_END', data),
  expressions: attribute(11, 'NFTA_SET_ELEM_EXPRESSIONS', expressions),
})

export const elementListSet = attributes({
  table: attribute(1, 'NFTA_SET_ELEM_LIST_TABLE', text),
  set: attribute(2, 'NFTA_SET_ELEM_LIST_SET', text),
  setId: attribute(4, 'NFTA_SET_ELEM_LIST_SET_ID', be32),
  elements: attribute(3, 'NFTA_SET_ELEM_LIST_ELEMENTS', list(LIST_ELEM, nested(elementSet))),
})

export const generationSet = attributes({
  id: attribute(1, 'NFTA_GEN_ID', be32),
  processId: attribute(2, 'NFTA_GEN_PROC_PID', be32),
  processName: attribute(3, 'NFTA_GEN_PROC_NAME', text),
})

export const tableBody = body(nfgenmsg, tableSet)
export const chainBody = body(nfgenmsg, chainSet)
export const ruleBody = body(nfgenmsg, ruleSet)
export const setBody = body(nfgenmsg, setSet)
export const elementsBody = body(nfgenmsg, elementListSet)
export const generationBody = body(nfgenmsg, generationSet)
