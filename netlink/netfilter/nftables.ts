import { type Body, command, type Dump, dump, NLM_F, query, type Request } from '../message.ts'
import { NFTABLES } from './batch.ts'
import { chainBody, elementsBody, generationBody, NFT_MSG, ruleBody, setBody, tableBody } from './tables.ts'

type Owned = { family: number; table: string }

/** What the kernel tells of each object; `family` is the table's. */
export type Table = ReturnType<typeof tableBody.read>
export type Chain = ReturnType<typeof chainBody.read>
export type Rule = ReturnType<typeof ruleBody.read>
export type Set = ReturnType<typeof setBody.read>
export type ElementList = ReturnType<typeof elementsBody.read>
export type Element = NonNullable<ElementList['elements']>[number]
export type Generation = ReturnType<typeof generationBody.read>

const type = (message: number): number => (NFTABLES << 8) | message
const add = <I>(message: number, flags: number, kind: Body<I, unknown>, value: I): Request<undefined> =>
  command(type(message), flags, kind, value)
const drop = <I>(message: number, kind: Body<I, unknown>, value: I): Request<undefined> =>
  command(type(message), 0, kind, value)

// New and deleted objects go into socket.transaction(); everything else through request() and dump().

export const newTable = (table: {
  family: number
  name: string
  flags?: number
  userdata?: Buffer
}): Request<undefined> => add(NFT_MSG.NEWTABLE, 0, tableBody, table)
export const delTable = (table: { family: number; name: string }): Request<undefined> =>
  drop(NFT_MSG.DELTABLE, tableBody, table)
export const getTable = (table: { family: number; name: string }): Request<Table> =>
  query(type(NFT_MSG.GETTABLE), tableBody, table, tableBody)
export const dumpTables = (filter: { family?: number } = {}): Dump<Table> =>
  dump(type(NFT_MSG.GETTABLE), tableBody, filter, tableBody)

export const newChain = (
  chain: Owned & { name: string } & Parameters<typeof chainBody.write>[1],
): Request<undefined> => add(NFT_MSG.NEWCHAIN, NLM_F.CREATE, chainBody, chain)
export const delChain = (chain: Owned & ({ name: string } | { handle: bigint })): Request<undefined> =>
  drop(NFT_MSG.DELCHAIN, chainBody, chain)
export const getChain = (chain: Owned & { name: string }): Request<Chain> =>
  query(type(NFT_MSG.GETCHAIN), chainBody, chain, chainBody)
/** Chains of every table of a family: the kernel knows no narrower filter. */
export const dumpChains = (filter: { family?: number } = {}): Dump<Chain> =>
  dump(type(NFT_MSG.GETCHAIN), chainBody, filter, chainBody)

/** Appends a rule, or inserts it before or after `position` when flags say so. */
export const newRule = (
  rule: Owned & { chain: string } & Parameters<typeof ruleBody.write>[1],
  flags: number = NLM_F.CREATE | NLM_F.APPEND,
): Request<undefined> => add(NFT_MSG.NEWRULE, flags, ruleBody, rule)
/** Without a handle, all rules of the chain go. */
export const delRule = (rule: Owned & { chain: string; handle?: bigint }): Request<undefined> =>
  drop(NFT_MSG.DELRULE, ruleBody, rule)
export const dumpRules = (filter: { family?: number; table?: string; chain?: string } = {}): Dump<Rule> =>
  dump(type(NFT_MSG.GETRULE), ruleBody, filter, ruleBody)

/** `id` is any number, unique within the transaction: the kernel wants one. */
export const newSet = (
  set: Owned & { name: string; id: number; keyLength: number } & Parameters<typeof setBody.write>[1],
): Request<undefined> => add(NFT_MSG.NEWSET, NLM_F.CREATE, setBody, set)
export const delSet = (set: Owned & { name: string }): Request<undefined> =>
  drop(NFT_MSG.DELSET, setBody, set)
export const getSet = (set: Owned & { name: string }): Request<Set> =>
  query(type(NFT_MSG.GETSET), setBody, set, setBody)
export const dumpSets = (filter: { family?: number; table?: string } = {}): Dump<Set> =>
  dump(type(NFT_MSG.GETSET), setBody, filter, setBody)

/** `setId` is that of a set that is new in the same transaction. */
type Elements = Owned & { set: string; setId?: number; elements: Element[] }

/** Adds elements; one that is there already is fine unless its data differs (EEXIST). At most 64 KiB of them in one message. */
export const newElements = (elements: Elements): Request<undefined> =>
  add(NFT_MSG.NEWSETELEM, NLM_F.CREATE, elementsBody, elements)
/** As newElements, but EEXIST when one of them is there. */
export const createElements = (elements: Elements): Request<undefined> =>
  add(NFT_MSG.NEWSETELEM, NLM_F.CREATE | NLM_F.EXCL, elementsBody, elements)
/** ENOENT, and nothing deleted, when one of them isn't there. */
export const delElements = (elements: Elements): Request<undefined> =>
  drop(NFT_MSG.DELSETELEM, elementsBody, elements)
/** `nft flush set`. */
export const flushSet = (set: Owned & { set: string }): Request<undefined> =>
  drop(NFT_MSG.DELSETELEM, elementsBody, set)
/** One element by its key. ENOENT when it isn't there. */
export const getElement = (element: Owned & { set: string; elements: [Element] }): Request<ElementList> =>
  query(type(NFT_MSG.GETSETELEM), elementsBody, element, elementsBody)
/** All elements of a set, a part in each answer: `socket.dump(dumpElements(s)).flatMap(part => part.elements ?? [])`. */
export const dumpElements = (set: Owned & { set: string }): Dump<ElementList> =>
  dump(type(NFT_MSG.GETSETELEM), elementsBody, set, elementsBody)

/** The rule set's generation, which every transaction of anybody raises by one. */
export const getGeneration = (): Request<Generation> =>
  query(type(NFT_MSG.GETGEN), generationBody, {}, generationBody)
