import {
  type Chain,
  dumpChains,
  dumpRules,
  dumpSets,
  type Set as KernelSet,
  NFPROTO,
  NFT_SET,
  type Rule,
  type Socket,
} from '@tsnet/netlink'
import type { ChainRow, Row, SetRow } from '../core/rows.ts'
import { typesOf } from './fields.ts'
import type { Generations } from './generations.ts'
import { TABLE } from './names.ts'
import { listRules, nft } from './nft.ts'
import { about, type Ordered, type Placed } from './order.ts'
import { type Failure, failure, type Report, type Room } from './room.ts'
import { digest, hookDigest, references, text } from './text.ts'

/** NFT_DATA_VERDICT (linux/netfilter/nf_tables.h). */
const VERDICT_TYPE = 0xffffff00
const ours = { family: NFPROTO.INET, table: TABLE }

/** What the kernel keeps of a chain: enough to tell whether it is the one that is wanted. */
type Present = { base: boolean; hook: string; comments: string[] }

/** Chains and sets of our table; rules are told apart by the digest in their comments. */
export class Ruleset implements Room {
  readonly #socket: Socket
  readonly #generations: Generations
  #sets: ReadonlyMap<string, SetRow> | undefined

  constructor(socket: Socket, generations: Generations) {
    this.#socket = socket
    this.#generations = generations
  }

  read(rows: readonly Row[], owned: boolean): Row[] {
    const chains =
      owned || rows.some(row => row.kind === 'chain') ? this.#chains() : new Map<string, Present>()
    const wanted = new Map(rows.flatMap(row => (row.kind === 'chain' ? [[row.name, row]] : [])))
    const asked = new Set(rows.flatMap(row => (row.kind === 'set' ? row.name : [])))
    return [
      ...(owned || asked.size > 0
        ? [...this.sets(true).values()].filter(({ name }) => owned || asked.has(name))
        : []),
      ...[...chains].flatMap(([name, chain]) =>
        owned || wanted.has(name) ? shown(name, chain, wanted.get(name)) : [],
      ),
    ]
  }

  /**
   * Our sets by name. Remembered between calls, as nobody but us gives them another type; `fresh` asks the kernel.
   */
  sets(fresh = false): ReadonlyMap<string, SetRow> {
    if (fresh || !this.#sets) {
      const sets = orNone(() => this.#socket.dump(dumpSets(ours)))
      this.#sets = new Map(sets.flatMap(set => toRow(set) ?? []).map(row => [row.name, row]))
    }
    return this.#sets
  }

  /** Whether an iptables-nft FORWARD chain is there. */
  hasForward(family: 'ipv4' | 'ipv6'): boolean {
    const chains = this.#socket.dump(dumpChains({ family: NFPROTO[family === 'ipv4' ? 'IPV4' : 'IPV6'] }))
    return chains.some(({ table, name }) => table === 'filter' && name === 'FORWARD')
  }

  apply(steps: Ordered, report: Report): void {
    let rest = about(steps, 'chain', 'set')
    if (rest.length === 0) return
    const sets = this.sets(true)
    const chains = this.#chains()
    rest = rest.filter(({ at, step }) => {
      const settled = settle(step, sets, chains)
      if (settled) report(at, settled === 'done' ? undefined : settled)
      return !settled
    })
    while (rest.length > 0) rest = this.#attempt(rest, chains, report)
    this.#sets = undefined
  }

  /** One transaction. Answers the steps that are left to try when one of them made it fail. */
  #attempt(steps: Rules[], chains: ReadonlyMap<string, Present>, report: Report): Rules[] {
    const script = compose(steps, chains)
    const result = this.#generations.during(() => nft(script.map(({ words }) => words)))
    const guilty = result && script[result.line ?? -1]?.at
    for (const { at } of steps) {
      if (!result) report(at)
      else if (guilty === undefined || at === guilty) report(at, result.failure)
    }
    return result && guilty !== undefined ? steps.filter(({ at }) => at !== guilty) : []
  }

  #chains(): Map<string, Present> {
    const chains = this.#socket
      .dump(dumpChains({ family: NFPROTO.INET }))
      .filter(({ table }) => table === TABLE)
    const rules = chains.length === 0 ? [] : orNone(() => this.#socket.dump(dumpRules(ours)))
    const comments = Map.groupBy(rules, ({ chain }) => chain ?? '')
    return new Map(
      chains.map(chain => [chain.name ?? '', present(chain, comments.get(chain.name ?? '') ?? [])]),
    )
  }
}

/** The kernel answers ENOENT for lists of a table that isn't there. */
function orNone<T>(ask: () => T[]): T[] {
  try {
    return ask()
  } catch (error) {
    if (failure(error).code === 'ENOENT') return []
    throw error
  }
}

function present(chain: Chain, rules: readonly Rule[]): Present {
  const comments = rules.map(({ userdata }) => comment(userdata))
  return { base: chain.hook !== undefined, hook: comment(chain.userdata), comments }
}

/** nft's comment: type 0 (NFTNL_UDATA_RULE_COMMENT, NFTNL_UDATA_CHAIN_COMMENT), length, text and a NUL. */
function comment(userdata: Buffer | undefined): string {
  for (let at = 0; userdata && at + 2 <= userdata.length; at += 2 + (userdata[at + 1] as number)) {
    if (userdata[at] === 0) return userdata.toString('utf8', at + 2, at + 1 + (userdata[at + 1] as number))
  }
  return ''
}

/** The wanted row where the kernel's digests vouch for it, else one that says how it differs. */
function shown(name: string, chain: Present, wanted: ChainRow | undefined): ChainRow {
  const found = chain.comments
  const hook =
    wanted && sameHook(chain, wanted) ? wanted.hook : chain.base ? `hook of digest ${chain.hook}` : undefined
  const rules =
    wanted && sameRules(chain, wanted)
      ? wanted.rules
      : [`${found.length} rules of digest ${[...new Set(found)].join(', ')}`]
  return { kind: 'chain', name, ...(hook === undefined ? {} : { hook }), rules }
}

const sameHook = (chain: Present, row: ChainRow) =>
  chain.base === (row.hook !== undefined) && chain.hook === hookDigest(row)

function sameRules({ comments }: Present, row: ChainRow): boolean {
  const ours = digest(row)
  return (
    comments.length === row.rules.length &&
    row.rules.every((rule, i) => comments[i] === ours || rule.includes(` comment "${comments[i]}"`))
  )
}

function toRow({ name = '', flags = 0, keyType = 0, dataType = 0 }: KernelSet): SetRow | undefined {
  const type = typesOf(keyType)
  const value = dataType === VERDICT_TYPE ? 'verdict' : typesOf(dataType)
  if (!type || flags & NFT_SET.ANONYMOUS) return undefined
  return {
    kind: 'set',
    name,
    type,
    ...(flags & NFT_SET.MAP && value ? { value } : {}),
    ...(flags & NFT_SET.INTERVAL ? { interval: true } : {}),
  }
}

/** What can be said of a step before nft is asked. */
function settle(
  { verb, row }: Placed<ChainRow | SetRow>['step'],
  sets: ReadonlyMap<string, SetRow>,
  chains: ReadonlyMap<string, Present>,
): Failure | 'done' | undefined {
  const there = (row.kind === 'set' ? sets : chains).has(row.name)
  if (verb === 'delete' && !there) return 'done'
  if (verb === 'add' && there) return { code: 'EEXIST', words: `${row.kind} ${row.name} is there` }
  if (verb === 'set' && !there) return { code: 'ENOENT', words: `no such ${row.kind}: ${row.name}` }
  return undefined
}

type Rules = Placed<ChainRow | SetRow>

const isOf =
  <K extends 'chain' | 'set'>(kind: K) =>
  (rules: Rules): rules is Placed<Extract<ChainRow | SetRow, { kind: K }>> =>
    rules.step.row.kind === kind
type Line = { words: string; at?: number }

/**
 * Rules first make way, then chains and sets go and come, then rules come. A set that is replaced takes the rules that
 * use it along; they come back as they were unless a step brings others.
 */
function compose(steps: readonly Rules[], chains: ReadonlyMap<string, Present>): Line[] {
  const ofChains = steps.filter(isOf('chain'))
  const ofSets = steps.filter(isOf('set'))
  const coming = ofChains.filter(({ step }) => step.verb !== 'delete')
  const leaving = ofChains.filter(({ step: { verb, row } }) => {
    const chain = chains.get(row.name)
    return chain && (verb === 'delete' || !sameHook(chain, row))
  })
  const renewed = ofSets.filter(({ step }) => step.verb === 'replace')
  const users = usersOf(renewed, chains, new Set(ofChains.map(({ step }) => step.row.name)))
  const line = (words: string, at?: number): Line => (at === undefined ? { words } : { words, at })
  return [
    line(text.table),
    ...ofChains
      .filter(({ step }) => chains.has(step.row.name))
      .map(({ step, at }) => line(text.flushChain(step.row.name), at)),
    ...users.map(({ name, at }) => line(text.flushChain(name), at)),
    ...leaving.map(({ step, at }) => line(text.deleteChain(step.row.name), at)),
    ...[...renewed, ...ofSets.filter(({ step }) => step.verb === 'delete')].map(({ step, at }) =>
      line(text.deleteSet(step.was?.kind === 'set' ? step.was : step.row), at),
    ),
    ...ofSets
      .filter(({ step }) => step.verb !== 'delete')
      .map(({ step, at }) => line(text.addSet(step.row), at)),
    ...coming.map(({ step, at }) => line(text.addChain(step.row), at)),
    ...coming.flatMap(({ step: { row }, at }) =>
      row.rules.map(rule => line(text.addRule(row.name, rule, digest(row)), at)),
    ),
    ...users.flatMap(({ name, rules, at }) => rules.map(rule => line(text.addRule(name, rule, ''), at))),
  ]
}

/** Chains that no step is about but whose rules use a set that is replaced. */
function usersOf(
  renewed: readonly Placed<SetRow>[],
  chains: ReadonlyMap<string, Present>,
  touched: ReadonlySet<string>,
): { name: string; rules: string[]; at: number }[] {
  if (renewed.length === 0) return []
  return [...chains.keys()].flatMap(name => {
    const rules = touched.has(name) ? [] : listRules(TABLE, name)
    const used = renewed.find(({ step }) => references(rules).sets.has(step.row.name))
    return used ? { name, rules, at: used.at } : []
  })
}
