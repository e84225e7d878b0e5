import {
  delNeighbour,
  dumpNeighbours,
  getNeighbour,
  type Neighbour,
  NetlinkError,
  NUD,
  replaceNeighbour,
  type Socket,
} from '@tsnet/netlink'
import type { NeighbourRow, Row } from '../core/rows.ts'
import { FEW } from './fdb.ts'
import { isMac, plain } from './fields.ts'
import { Known } from './known.ts'
import type { Links } from './links.ts'
import { ADDRESS_PROTO } from './names.ts'
import { about, type Placed } from './order.ts'
import { type Failure, failure, type Report, type Room } from './room.ts'

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
      ? new Map(links.flatMap(({ row, link }) => (row.type === 'bridge' ? [[row.name, link.index]] : [])))
      : this.#links.indexes(asked.keys())
    return [...indexes].flatMap(([link, index]) => this.#ofLink(link, index, asked.get(link) ?? [], owned))
  }

  #ofLink(link: string, index: number, asked: readonly NeighbourRow[], owned: boolean): NeighbourRow[] {
    const spelt = new Map(asked.map(row => [plain(row.address), row.address]))
    const found =
      owned || asked.length > FEW ? this.#socket.dump(dumpNeighbours({ index })) : this.#look(index, asked)
    return found.filter(isPermanent).flatMap(({ dst = '', lladdr = '', protocol }) => {
      const address = spelt.get(plain(dst))
      if (address === undefined && !(owned && protocol === ADDRESS_PROTO)) return []
      this.known.note(index, plain(dst) as string, lladdr)
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

  apply(steps: readonly Placed[], report: Report): void {
    const all = about(steps, 'neighbour')
    if (all.length === 0) return
    const indexes = this.#links.indexes(new Set(all.map(({ step }) => step.row.link)))
    const ready = all.filter(({ at, step: { verb, row } }) => {
      const found = obstacle(row, indexes)
      if (found) report(at, verb === 'delete' ? undefined : found)
      return !found
    })
    const outcomes = this.#socket.batch(
      ready.map(({ step }) => request(step, indexes.get(step.row.link) as number)),
    )
    ready.forEach(({ at, step: { verb, row } }, i) => {
      const outcome = outcomes[i]
      const index = indexes.get(row.link) as number
      const address = plain(row.address) as string
      if (verb === 'delete') this.known.forget(index, address)
      else this.known.note(index, address, row.mac)
      const error = outcome instanceof NetlinkError ? outcome : undefined
      report(at, error && !(verb === 'delete' && error.code === 'ENOENT') ? failure(error) : undefined)
    })
  }
}

export const isPermanent = ({ state }: Neighbour) => (state & NUD.PERMANENT) !== 0

function obstacle(
  { link, address, mac }: NeighbourRow,
  indexes: ReadonlyMap<string, number>,
): Failure | undefined {
  if (!plain(address)) return { code: 'EINVAL', words: `'${address}' is no address` }
  if (!isMac(mac)) return { code: 'EINVAL', words: `'${mac}' is no MAC` }
  return indexes.has(link) ? undefined : { code: 'ENODEV', words: `no such link: ${link}` }
}

function request({ verb, row: { address, mac } }: Placed<NeighbourRow>['step'], index: number) {
  if (verb === 'delete') return delNeighbour({ index, dst: address })
  return replaceNeighbour({ index, dst: address, lladdr: mac, protocol: ADDRESS_PROTO })
}
