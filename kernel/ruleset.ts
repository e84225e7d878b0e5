import {
  type Chain,
  dumpChains,
  dumpRules,
  dumpSets,
  type Set as KernelSet,
  lookedUp,
  NFPROTO,
  NFT_SET,
  type Request,
  type Rule,
  type Socket,
  TransactionError,
} from '@tsnet/netlink'
import type { ChainRow, Row, SetRow } from '../core/rows.ts'
import { blame } from './blame.ts'
import { digest, hookDigest } from './digest.ts'
import { typesOf } from './fields.ts'
import { TABLE } from './names.ts'
import { about, type Ordered, type Placed } from './order.ts'
import { commentOf, ours, request, VERDICT_TYPE } from './requests.ts'
import { type Failure, failure, type Report, type Room } from './room.ts'

/** What the kernel keeps of a chain: enough to tell whether it is the one that is wanted. */
type Present = { base: boolean; hook: string; rules: readonly Rule[] }

/** Chains and sets of our table; rules are told apart by the digest in their comments. */
export class Ruleset implements Room {
  readonly #socket: Socket
  #sets: ReadonlyMap<string, SetRow> | undefined

  constructor(socket: Socket) {
    this.#socket = socket
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

  /** One transaction. Answers the steps that are left to try when some of them made it fail. */
  #attempt(steps: Rules[], chains: ReadonlyMap<string, Present>, report: Report): Rules[] {
    const script = compose(steps, chains)
    try {
      this.#socket.transaction(script.map(each => each.request))
      for (const { at } of steps) report(at)
      return []
    } catch (error) {
      if (!(error instanceof TransactionError)) throw error
      const guilty = blame(
        script.map(({ at }) => at),
        error,
      )
      for (const { at } of steps)
        if (guilty.size === 0 || guilty.has(at)) report(at, failure(guilty.get(at) ?? error))
      return guilty.size > 0 ? steps.filter(({ at }) => !guilty.has(at)) : []
    }
  }

  #chains(): Map<string, Present> {
    const chains = this.#socket
      .dump(dumpChains({ family: NFPROTO.INET }))
      .filter(({ table }) => table === TABLE)
    const rules = chains.length === 0 ? [] : orNone(() => this.#socket.dump(dumpRules(ours)))
    const byChain = Map.groupBy(rules, ({ chain }) => chain ?? '')
    return new Map(
      chains.map(chain => [chain.name ?? '', present(chain, byChain.get(chain.name ?? '') ?? [])]),
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

const present = (chain: Chain, rules: readonly Rule[]): Present => ({
  base: chain.hook !== undefined,
  hook: commentOf(chain.userdata),
  rules,
})

/** The wanted row where the kernel's digests vouch for it, else one that says how it differs. */
function shown(name: string, chain: Present, wanted: ChainRow | undefined): ChainRow {
  const found = chain.rules.map(({ userdata }) => commentOf(userdata))
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

function sameRules({ rules }: Present, row: ChainRow): boolean {
  const ours = digest(row)
  return rules.length === row.rules.length && rules.every(({ userdata }) => commentOf(userdata) === ours)
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

/** What can be said of a step before the kernel is asked. */
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
/** Without `at`, it is no step's: the table. */
type Line = { request: Request<undefined>; at?: number }

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
  const line = (request: Request<undefined>, at: number): Line => ({ request, at })
  return [
    { request: request.table },
    ...ofChains
      .filter(({ step }) => chains.has(step.row.name))
      .map(({ step, at }) => line(request.flushChain(step.row.name), at)),
    ...users.map(({ name, at }) => line(request.flushChain(name), at)),
    ...leaving.map(({ step, at }) => line(request.deleteChain(step.row.name), at)),
    ...[...renewed, ...ofSets.filter(({ step }) => step.verb === 'delete')].map(({ step, at }) =>
      line(request.deleteSet(step.row.name), at),
    ),
    ...ofSets
      .filter(({ step }) => step.verb !== 'delete')
      .map(({ step, at }, i) => line(request.addSet(step.row, i + 1), at)),
    ...coming.map(({ step, at }) => line(request.addChain(step.row), at)),
    ...coming.flatMap(({ step: { row }, at }) =>
      row.rules.map(rule => line(request.addRule(row.name, rule, digest(row)), at)),
    ),
    ...users.flatMap(({ rules, at }) => rules.map(rule => line(request.addAgain(rule), at))),
  ]
}

/** Chains that no step is about but whose rules use a set that is replaced. */
function usersOf(
  renewed: readonly Placed<SetRow>[],
  chains: ReadonlyMap<string, Present>,
  touched: ReadonlySet<string>,
): { name: string; rules: readonly Rule[]; at: number }[] {
  const uses = (rules: readonly Rule[], set: string) =>
    rules.some(({ expressions = [] }) => expressions.some(each => lookedUp(each) === set))
  return [...chains].flatMap(([name, { rules }]) => {
    const used = touched.has(name) ? undefined : renewed.find(({ step }) => uses(rules, step.row.name))
    return used ? { name, rules, at: used.at } : []
  })
}
