import {
  createElements,
  delElements,
  dumpElements,
  type Element,
  getElement,
  NetlinkError,
  NFPROTO,
  NFT_SET_ELEM,
  type Request,
  type Socket,
} from '@tsnet/netlink'
import type { ElementRow, Row, SetRow } from '../core/rows.ts'
import { decodeElement, encodeElement, type Encoded, identity, pair } from './element.ts'
import { TABLE } from './names.ts'
import { about, type Placed } from './order.ts'
import { type Failure, failure, type Report, type Room } from './room.ts'
import type { Ruleset } from './ruleset.ts'

/** After so many guilty steps in one transaction, each of the others gets a transaction of its own. */
const PATIENCE = 8

const inSet = (set: string) => ({ family: NFPROTO.INET, table: TABLE, set })

type Ready = { at: number; delete: boolean; requests: Request<undefined>[] }

/** Elements of our sets. */
export class Elements implements Room {
  readonly #socket: Socket
  readonly #ruleset: Ruleset

  constructor(socket: Socket, ruleset: Ruleset) {
    this.#socket = socket
    this.#ruleset = ruleset
  }

  /** Elements in the words of the rows that ask for them, where those mean the same. */
  read(rows: readonly Row[], owned: boolean): Row[] {
    const asked = Map.groupBy(rows.filter(row => row.kind === 'element'), row => row.set)
    const sets = this.#ruleset.sets()
    const names = owned ? sets.keys() : asked.keys()
    return [...names].flatMap(name => {
      const set = sets.get(name)
      return set ? this.#ofSet(set, asked.get(name) ?? [], owned) : []
    })
  }

  #ofSet(set: SetRow, asked: readonly ElementRow[], owned: boolean): ElementRow[] {
    const wanted = new Map(asked.flatMap(row => {
      const encoded = encodeElement(set, row)
      return encoded ? [[identity(encoded), { row, encoded }] as const] : []
    }))
    const whole = owned || encodedInPairs(set)
    const found = whole ? this.#dump(set) : this.#look(set, [...wanted.values()].map(({ encoded }) => encoded))
    return found.flatMap(element => {
      const match = wanted.get(identity(element))
      if (!match) return owned ? decodeElement(set, element) : []
      return sameValue(match.encoded, element) ? match.row : { ...decodeElement(set, element), key: match.row.key }
    })
  }

  #dump(set: SetRow): Encoded[] {
    try {
      const elements = this.#socket.dump(dumpElements(inSet(set.name))).flatMap(part => part.elements ?? [])
      return encodedInPairs(set) ? pair(elements) : elements.flatMap(fromKernel)
    } catch (error) {
      if (failure(error).code === 'ENOENT') return []
      throw error
    }
  }

  #look(set: SetRow, elements: readonly Encoded[]): Encoded[] {
    const answers = this.#socket.batch(
      elements.map(({ from, to }) =>
        getElement({ ...inSet(set.name), elements: [{ key: { value: from }, ...keyEnd(set, to) }] }),
      ),
    )
    return answers.flatMap(answer => (answer instanceof NetlinkError ? [] : (answer.elements ?? []).flatMap(fromKernel)))
  }

  apply(steps: readonly Placed[], report: Report): void {
    const all = about(steps, 'element')
    if (all.length === 0) return
    let ready: Ready[] = []
    for (const { at, step } of all) {
      const requests = this.#requests(step)
      if ('code' in requests) report(at, step.verb === 'delete' ? undefined : requests)
      else ready.push({ at, delete: step.verb === 'delete', requests })
    }
    for (let tries = 0; ready.length > 0 && tries < PATIENCE; tries++) ready = this.#transact(ready, report)
    for (const each of ready) this.#transact([each], report)
  }

  /** Answers the steps that are left to try. */
  #transact(ready: Ready[], report: Report): Ready[] {
    try {
      this.#socket.transaction(ready.flatMap(({ requests }) => requests))
      for (const { at } of ready) report(at)
      return []
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error
      const guilty = error.index === undefined ? undefined : stepOf(ready, error.index)
      if (!guilty && error.code === 'ERESTART' && ready.length > 1) return ready
      for (const each of guilty ? [guilty] : ready) {
        report(each.at, each.delete && error.code === 'ENOENT' ? undefined : failure(error))
      }
      return guilty ? ready.filter(each => each !== guilty) : []
    }
  }

  #requests({ verb, row }: Placed<ElementRow>['step']): Request<undefined>[] | Failure {
    const set = this.#ruleset.sets().get(row.set) ?? this.#ruleset.sets(true).get(row.set)
    if (!set) return { code: 'ENOENT', words: `no such set: ${row.set}` }
    const element = encodeElement(set, row)
    if (!element) return { code: 'EINVAL', words: `the element does not fit set ${row.set}` }
    const at = inSet(row.set)
    const added = createElements({ ...at, elements: toKernel(set, element) })
    const gone = delElements({ ...at, elements: toKernel(set, { from: element.from, to: element.to }) })
    return verb === 'add' ? [added] : verb === 'delete' ? [gone] : [gone, added]
  }
}

function stepOf(ready: readonly Ready[], index: number): Ready | undefined {
  let first = 0
  return ready.find(({ requests }) => index < (first += requests.length))
}

/** A single field's interval is two elements, where it begins and where the next value does (nft_set_rbtree.c). */
const encodedInPairs = (set: SetRow) => set.interval === true && set.type.length === 1

const keyEnd = (set: SetRow, to: Buffer) => (set.interval ? { keyEnd: { value: to } } : {})

function toKernel(set: SetRow, { from, after, to, data }: Encoded): Element[] {
  const value = data ? { data } : {}
  if (!encodedInPairs(set)) return [{ key: { value: from }, ...keyEnd(set, to), ...value }]
  const end = after ?? undefined
  const start = { key: { value: from }, ...value }
  return end ? [start, { key: { value: end }, flags: NFT_SET_ELEM.INTERVAL_END }] : [start]
}
