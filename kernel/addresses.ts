import {
  type Address,
  delAddress,
  dumpAddresses,
  IFA_F,
  NetlinkError,
  newAddress,
  RT_SCOPE,
  type Socket,
} from '@tsnet/netlink'
import type { AddressRow, Row } from '../core/rows.ts'
import { encodeFields } from './fields.ts'
import type { Links } from './links.ts'
import { ADDRESS_PROTO } from './names.ts'
import { about, type Ordered, type Placed } from './order.ts'
import { type Failure, failure, type Report, type Room } from './room.ts'

/** Addresses of links. */
export class Addresses implements Room {
  readonly #socket: Socket
  readonly #links: Links
  /** Addresses that were taken away by us and whose announcement is still to come. */
  readonly #removed = new Set<string>()

  constructor(socket: Socket, links: Links) {
    this.#socket = socket
    this.#links = links
  }

  read(rows: readonly Row[]): Row[] {
    const asked = rows.filter(row => row.kind === 'address')
    const indexes = this.#links.indexes(asked.map(({ link }) => link))
    return [...indexes].flatMap(([link, index]) => {
      const present = new Map(
        this.#socket.dump(dumpAddresses({ index })).map(each => [canonical(cidr(each)), each]),
      )
      return asked.filter(row => row.link === link && present.has(canonical(row.address)))
    })
  }

  /** Every address of our links. Of an adopted bridge only those that we set: the others are its owner's. */
  owned(rows: readonly Row[], links: ReturnType<Links['present']>): Row[] {
    const spelt = new Map(
      rows.flatMap(row => (row.kind === 'address' ? [[canonical(row.address), row.address]] : [])),
    )
    const ours = new Map(links.map(each => [each.link.index, each.row]))
    return this.#socket.dump(dumpAddresses()).flatMap((each): AddressRow[] => {
      const link = ours.get(each.index)
      if (!link || (link.adopted && each.proto !== ADDRESS_PROTO)) return []
      const address = cidr(each)
      return [{ kind: 'address', link: link.name, address: spelt.get(canonical(address)) ?? address }]
    })
  }

  apply(steps: Ordered, report: Report): void {
    const all = about(steps, 'address')
    if (all.length === 0) return
    const indexes = this.#links.indexes(all.map(({ step }) => step.row.link))
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
      const error = outcome instanceof NetlinkError ? outcome : undefined
      const gone = verb === 'delete' && error?.code === 'EADDRNOTAVAIL'
      if (verb === 'delete' && !error) this.#removed.add(`${indexes.get(row.link)} ${canonical(row.address)}`)
      report(at, error && !gone ? failure(error) : undefined)
    })
  }

  /** Whether it was us who took this address away; asked once for each announcement. */
  removed(address: Address): boolean {
    return this.#removed.delete(`${address.index} ${canonical(cidr(address))}`)
  }
}

function obstacle({ link, address }: AddressRow, indexes: ReadonlyMap<string, number>): Failure | undefined {
  if (!canonical(address)) return { code: 'EINVAL', words: `'${address}' is no address with a prefix length` }
  return indexes.has(link) ? undefined : { code: 'ENODEV', words: `no such link: ${link}` }
}

function request({ verb, row: { address, scope } }: Placed<AddressRow>['step'], index: number) {
  if (verb === 'delete') return delAddress({ index, cidr: address })
  const how = address.includes(':') ? six(scope) : four(scope)
  return newAddress({ index, cidr: address, proto: ADDRESS_PROTO, ...how })
}

const four = (scope: AddressRow['scope']) => (scope === 'link' ? { scope: RT_SCOPE.LINK } : {})

/**
 * Without detection of duplicates, which would keep the gateway silent for a second. Linux takes the scope of an IPv6 address from the
 * address itself; one that isn't preferred is the source of a packet where there is no other (RFC 6724, rule 3).
 */
const six = (scope: AddressRow['scope']) => ({
  flags: IFA_F.NODAD,
  ...(scope === 'link' && { preferred: 0 }),
})

function cidr({ local, address, prefixLength }: Address): string {
  return `${local ?? address}/${prefixLength}`
}

/** One spelling of each address; undefined for what is none. */
function canonical(address: string): string | undefined {
  const [plain = '', length = ''] = address.split('/')
  const six = plain.includes(':')
  const bytes = encodeFields([six ? 'ipv6_addr' : 'ipv4_addr'], [plain], false)
  if (!bytes || !/^\d+$/.test(length) || Number(length) > (six ? 128 : 32)) return undefined
  return `${Buffer.from(bytes.from).toString('hex')}/${Number(length)}`
}
