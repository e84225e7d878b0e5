import {
  createElements,
  delElements,
  dumpElements,
  type Element,
  getElement,
  NetlinkError,
  NFPROTO,
  type Request,
  type Socket,
  TransactionError,
} from '@tsnet/netlink'
import type { ElementRow, Row, SetRow } from '../core/rows.ts'
import { blame } from './blame.ts'
import {
  decodeElement,
  type Encoded,
  encodeElement,
  fromKernel,
  identity,
  inPairs,
  pair,
  sameData,
  toKernel,
} from './element.ts'
import { type Moved, movedPort } from './flows.ts'
import { TABLE } from './names.ts'
import { about, type Ordered, type Placed } from './order.ts'
import { type Failure, failure, type Report, type Room } from './room.ts'
import type { Ruleset } from './ruleset.ts'

const inSet = (set: string) => ({ family: NFPROTO.INET, table: TABLE, set })

type Ready = { at: number; delete: boolean; requests: Request<undefined>[] }

/** Elements of our sets. */
export class Elements implements Room {
  readonly #socket: Socket
  readonly #ruleset: Ruleset
  readonly #moved: (ports: Moved[]) => void

  /** `moved` hears of UDP ports that lead elsewhere after an apply(). */
  constructor(socket: Socket, ruleset: Ruleset, moved: (ports: Moved[]) => void) {
    this.#socket = socket
    this.#ruleset = ruleset
    this.#moved = moved
  }

  /** Elements in the words of the rows that ask for them, where those mean the same. */
  read(rows: readonly Row[], owned: boolean): Row[] {
    const asked = Map.groupBy(
      rows.filter(row => row.kind === 'element'),
      row => row.set,
    )
    const sets = this.#ruleset.sets()
    const names = owned ? sets.keys() : asked.keys()
    return [...names].flatMap(name => {
      const set = sets.get(name)
      return set ? this.#ofSet(set, asked.get(name) ?? [], owned) : []
    })
  }

  #ofSet(set: SetRow, asked: readonly ElementRow[], owned: boolean): ElementRow[] {
    const wanted = new Map(
      asked.flatMap(row => {
        const encoded = encodeElement(set, row)
        return encoded ? [[identity(encoded), { row, encoded }] as const] : []
      }),
    )
    const whole = owned || inPairs(set)
    const found = whole
      ? this.#dump(set)
      : this.#look(
          set,
          [...wanted.values()].map(({ encoded }) => encoded),
        )
    return found.flatMap(element => {
      const match = wanted.get(identity(element))
      if (!match) return owned ? decodeElement(set, element) : []
      return sameData(match.encoded, element)
        ? match.row
        : { ...decodeElement(set, element), key: match.row.key }
    })
  }

  #dump(set: SetRow): Encoded[] {
    try {
      const elements = this.#socket.dump(dumpElements(inSet(set.name))).flatMap(part => part.elements ?? [])
      return inPairs(set) ? pair(elements) : elements.flatMap(fromKernel)
    } catch (error) {
      if (failure(error).code === 'ENOENT') return []
      throw error
    }
  }

  #look(set: SetRow, elements: readonly Encoded[]): Encoded[] {
    const answers = this.#socket.batch(
      elements.map(({ from, to }) =>
        getElement({ ...inSet(set.name), elements: [toKernel(set, { from, to })[0] as Element] }),
      ),
    )
    return answers.flatMap(answer =>
      answer instanceof NetlinkError ? [] : (answer.elements ?? []).flatMap(fromKernel),
    )
  }

  apply(steps: Ordered, report: Report): void {
    const all = about(steps, 'element')
    if (all.length === 0) return
    let ready: Ready[] = []
    for (const { at, step } of all) {
      const requests = this.#requests(step)
      if ('code' in requests) report(at, step.verb === 'delete' ? undefined : requests)
      else ready.push({ at, delete: step.verb === 'delete', requests })
    }
    while (ready.length > 0) ready = this.#transact(ready, report)
    const sets = this.#ruleset.sets()
    const moved = all.flatMap(({ step: { row } }) => {
      const set = sets.get(row.set)
      return (set && movedPort(set, row)) ?? []
    })
    if (moved.length > 0) this.#moved(moved)
  }

  /** Answers the steps that are left to try. */
  #transact(ready: Ready[], report: Report): Ready[] {
    try {
      this.#socket.transaction(ready.flatMap(({ requests }) => requests))
      for (const { at } of ready) report(at)
      return []
    } catch (error) {
      if (!(error instanceof TransactionError)) throw error
      const guilty = blame(
        ready.flatMap(each => each.requests.map(() => each)),
        error,
      )
      for (const each of guilty.size > 0 ? guilty.keys() : ready) {
        const cause = guilty.get(each) ?? error
        report(each.at, each.delete && cause.code === 'ENOENT' ? undefined : failure(cause))
      }
      return guilty.size > 0 ? ready.filter(each => !guilty.has(each)) : []
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
