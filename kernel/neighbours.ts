import {
  delNeighbour,
  dumpNeighbours,
  getNeighbour,
  type Neighbour,
  NetlinkError,
  NUD,
  type Request,
  replaceNeighbours,
  type Socket,
} from '@tsnet/netlink'
import type { NeighbourRow, Row } from '../core/rows.ts'
import { FEW } from './fdb.ts'
import { isMac, plain } from './fields.ts'
import { Known } from './known.ts'
import type { Links } from './links.ts'
import { ADDRESS_PROTO } from './names.ts'
import { about, type Ordered, type Placed, parts } from './order.ts'
import { type Failure, failure, type Report, type Room } from './room.ts'

/** Links that we give neighbours. */
const BEARERS: ReadonlySet<string> = new Set(['bridge', 'macvlan'])

/** Permanent entries of the neighbour table. What the kernel found out by itself counts as absent. */
export class Neighbours implements Room {
  readonly known = new Known()
  readonly #socket: Socket
  readonly #links: Links

  constructor(socket: Socket, links: Links) {
    this.#socket = socket
    this.#links = links
  }

  /** Of all that is owned, only what we set: an administrator may have entries on our bridges. */
  read(rows: readonly Row[], owned: boolean, links: ReturnType<Links['present']> = []): Row[] {
    const asked = Map.groupBy(
      rows.filter(row => row.kind === 'neighbour'),
      row => row.link,
    )
    const indexes = owned
      ? new Map(links.flatMap(({ row, link }) => (BEARERS.has(row.type) ? [[row.name, link.index]] : [])))
      : this.#links.indexes(asked.keys())
    return [...indexes].flatMap(([link, index]) => this.#ofLink(link, index, asked.get(link) ?? [], owned))
  }

  #ofLink(link: string, index: number, asked: readonly NeighbourRow[], owned: boolean): NeighbourRow[] {
    const spelt = new Map(asked.map(row => [plain(row.address), row.address]))
    const known = this.known.at(index)
    const found =
      owned || asked.length > FEW ? this.#socket.dump(dumpNeighbours({ index })) : this.#look(index, asked)
    return found.filter(isPermanent).flatMap(({ dst = '', lladdr = '', protocol }) => {
      const address = spelt.get(plain(dst))
      if (address === undefined && !(owned && protocol === ADDRESS_PROTO)) return []
      known.set(plain(dst) as string, lladdr)
      return { kind: 'neighbour' as const, link, address: address ?? dst, mac: lladdr }
    })
  }

  #look(index: number, asked: readonly NeighbourRow[]): Neighbour[] {
    const answers = this.#socket.batch(asked.map(({ address }) => getNeighbour({ index, dst: address })))
    return answers.flatMap(answer => (answer instanceof NetlinkError ? [] : answer))
  }

  /** Whether an announcement tells of another entry than the one that we know of. */
  isNews({ index, dst = '', lladdr }: Neighbour, gone: boolean): boolean {
    return this.known.differs(index, plain(dst) ?? '', gone ? undefined : lladdr)
  }

  apply(steps: Ordered, report: Report): void {
    const all = about(steps, 'neighbour')
    if (all.length === 0) return
    const links = this.#tables(all)
    for (const part of parts(all)) this.#send(part, links, report)
  }

  #send(steps: readonly Placed<NeighbourRow>[], links: ReadonlyMap<string, Table>, report: Report): void {
    const ready: Ready[] = []
    const messages: Request<undefined>[] = []
    for (const { at, step } of steps) {
      const table = links.get(step.row.link)
      const address = plain(step.row.address)
      const found = obstacle(step.row, address, table)
      if (found || !table || !address) report(at, step.verb === 'delete' ? undefined : found)
      else {
        messages.push(request(step, table))
        ready.push({ at, step, table, address })
      }
    }
    const outcomes = this.#socket.batch(messages)
    for (let i = 0; i < ready.length; i++) {
      const { at, step, table, address } = ready[i] as Ready
      if (step.verb === 'delete') table.known.delete(address)
      else table.known.set(address, step.row.mac)
      const error = outcomes[i]
      report(at, error && !(step.verb === 'delete' && error.code === 'ENOENT') ? failure(error) : undefined)
    }
  }

  /** The links that these steps are about, by name. */
  #tables(steps: readonly Placed<NeighbourRow>[]): Map<string, Table> {
    const indexes = this.#links.indexes(new Set(steps.map(({ step }) => step.row.link)))
    return new Map([...indexes].map(([link, index]) => [link, tableOf(index, this.known)]))
  }
}

/** One link's entries: how to write one, and what is known of them. */
type Table = {
  index: number
  replace: ReturnType<typeof replaceNeighbours>
  known: Map<string, string>
}

const tableOf = (index: number, known: Known): Table => ({
  index,
  replace: replaceNeighbours({ index, protocol: ADDRESS_PROTO }),
  known: known.at(index),
})

/** A step that can be sent, its address as it is known. */
type Ready = Placed<NeighbourRow> & { table: Table; address: string }

export const isPermanent = ({ state }: Neighbour) => (state & NUD.PERMANENT) !== 0

function obstacle(
  { link, address, mac }: NeighbourRow,
  spelt: string | undefined,
  table: Table | undefined,
): Failure | undefined {
  if (!spelt) return { code: 'EINVAL', words: `'${address}' is no address` }
  if (!isMac(mac)) return { code: 'EINVAL', words: `'${mac}' is no MAC` }
  return table ? undefined : { code: 'ENODEV', words: `no such link: ${link}` }
}

function request(
  { verb, row: { address, mac } }: Placed<NeighbourRow>['step'],
  { index, replace }: Table,
): Request<undefined> {
  return verb === 'delete' ? delNeighbour({ index, dst: address }) : replace(address, mac)
}
