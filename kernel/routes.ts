import {
  type Address,
  delRoute,
  dumpAddresses,
  dumpRoutes,
  findLink,
  NetlinkError,
  type Outline,
  type Request,
  type Route,
  RT_SCOPE,
  RTNH_F,
  replaceRoute,
  type Socket,
} from '@tsnet/netlink'
import { contains, host, network } from '../core/addresses.ts'
import type { RouteRow, Row } from '../core/rows.ts'
import type { Links } from './links.ts'
import { ADDRESS_PROTO } from './names.ts'
import { about, type Ordered, type Placed } from './order.ts'
import { failure, type Report, type Room } from './room.ts'

const families = [2, 10]

/** Routes of the main table; ours carry our protocol (`ip route show proto 116`), and nobody else's are looked at. */
export class Routes implements Room {
  readonly #socket: Socket
  readonly #links: Links
  /** Links that our routes lead by, and whether they were up when they were last heard of. */
  readonly #bearers = new Map<number, boolean>()

  constructor(socket: Socket, links: Links) {
    this.#socket = socket
    this.#links = links
  }

  read(rows: readonly Row[], owned: boolean): Row[] {
    const asked = new Set(rows.flatMap(row => (row.kind === 'route' ? row.to : [])))
    if (asked.size === 0 && !owned) return []
    const found = families.flatMap(family =>
      this.#socket.dump(dumpRoutes({ family, protocol: ADDRESS_PROTO })),
    )
    const names = this.#names(found)
    this.#bear(names.keys())
    const sources = this.#sources(rows)
    return found
      .filter(({ protocol }) => protocol === ADDRESS_PROTO)
      .map(route => toRow(route, names))
      .filter(({ to }) => owned || asked.has(to))
      .map(row => withSource(row, sources))
  }

  /** Whether a link that our routes lead by came up again: the kernel has dropped them without a word (fib_disable_ip). */
  isUpAgain({ index, up }: Outline, there: boolean): boolean {
    const before = this.#bearers.get(index)
    if (!there) this.#bearers.delete(index)
    else if (before !== undefined) this.#bearers.set(index, up)
    return there && up && before === false
  }

  #bear(indexes: Iterable<number>): void {
    for (const index of indexes) if (!this.#bearers.has(index)) this.#bearers.set(index, true)
  }

  /** By destination, the address that a link gives it as its source. */
  #sources(rows: readonly Row[]): Sources {
    const asking = rows.flatMap(row => (row.kind === 'route' && row.srcOf !== undefined ? row : []))
    if (asking.length === 0) return new Map()
    const indexes = this.#links.indexes(new Set(asking.map(row => row.srcOf as string)))
    const all = this.#socket.dump(dumpAddresses())
    return new Map(
      asking.map(({ to, srcOf = '' }) => {
        const own = all.filter(each => each.index === indexes.get(srcOf) && each.scope === RT_SCOPE.UNIVERSE)
        return [to, { srcOf, address: nearest(own, host(to)) }]
      }),
    )
  }

  #names(routes: readonly Route[]): Map<number, string> {
    const indexes = [...new Set(routes.flatMap(({ oif }) => oif ?? []))]
    const links = this.#socket.batch(indexes.map(index => findLink({ index })))
    return new Map(
      links.flatMap(link => (link instanceof NetlinkError ? [] : [[link.index, link.name ?? ''] as const])),
    )
  }

  apply(steps: Ordered, report: Report): void {
    // What takes the place of several ways is there before these go.
    const all = about(steps, 'route').toSorted((a, b) => going(a) - going(b))
    if (all.length === 0) return
    const indexes = this.#links.indexes(new Set(all.map(({ step }) => step.row.link)))
    this.#bear(indexes.values())
    const ready = all.filter(({ at, step: { verb, row } }) => {
      if (verb === 'delete' || indexes.has(row.link)) return true
      report(at, { code: 'ENODEV', words: `no such link: ${row.link}` })
      return false
    })
    const sources = this.#sources(ready.map(({ step }) => step.row))
    const outcomes = this.#socket.batch(ready.map(({ step }) => request(step, indexes, sources)))
    ready.forEach(({ at, step: { verb } }, i) => {
      const error = outcomes[i] instanceof NetlinkError ? outcomes[i] : undefined
      report(at, error && !(verb === 'delete' && error.code === 'ESRCH') ? failure(error) : undefined)
    })
  }
}

const going = ({ step: { verb } }: Placed) => (verb === 'delete' ? 1 : 0)

type Sources = ReadonlyMap<string, { srcOf: string; address: string | undefined }>

/** Of a link's addresses the one that is in a subnet with another, else the first of that family. */
function nearest(addresses: readonly Address[], to: string): string | undefined {
  const same = addresses
    .map(({ local, address = '', prefixLength }) => ({ own: local ?? address, prefixLength }))
    .filter(({ own }) => own.includes(':') === to.includes(':'))
  const near = same.find(({ own, prefixLength }) => contains(network(`${own}/${prefixLength}`), to))
  return (near ?? same[0])?.own
}

/** A source that is what it should be at the moment shows whose it is. */
function withSource({ src, ...row }: RouteRow, sources: Sources): RouteRow {
  const wanted = sources.get(row.to)
  if (wanted && wanted.address === src) return { ...row, srcOf: wanted.srcOf }
  return src === undefined ? row : { ...row, src }
}

/** The gateway is taken to be on the link, though no address says so. */
function request(
  { verb, row: { to, link, via, src } }: Placed<RouteRow>['step'],
  indexes: ReadonlyMap<string, number>,
  sources: Sources,
): Request<undefined> {
  if (verb === 'delete') return delRoute({ to, protocol: ADDRESS_PROTO })
  const oif = indexes.get(link) as number
  const own = src ?? sources.get(to)?.address
  const source = own === undefined ? {} : { prefsrc: own }
  const way = via === undefined ? {} : { gateway: via, flags: RTNH_F.ONLINK }
  return replaceRoute({ to, oif, ...way, protocol: ADDRESS_PROTO, ...source })
}

function toRow(
  { dst = '', dstLength, oif = 0, gateway, via = gateway, prefsrc }: Route,
  names: ReadonlyMap<number, string>,
): RouteRow {
  return {
    kind: 'route',
    to: `${dst}/${dstLength}`,
    link: names.get(oif) ?? '',
    ...(via !== undefined && { via }),
    ...(prefsrc !== undefined && { src: prefsrc }),
  }
}
