import { closeSync, openSync } from 'node:fs'
import {
  dumpAddresses,
  dumpLinks,
  dumpQdiscs,
  dumpRoutes,
  type Route as Found,
  findLink,
  getLink,
  IFA_F,
  NetlinkError,
  newAddress,
  newRoute,
  open,
  type Request,
  RT_SCOPE,
  RTPROT,
  type Socket,
  setLink,
} from '@tsnet/netlink'
import { isDefault } from '../core/addresses.ts'
import type { Furnished } from '../core/faces.ts'
import { interfaceId } from '../core/mac.ts'
import type { Route } from '../core/records.ts'
import type { Inside } from '../core/rows.ts'
import { LINK_GROUP } from './names.ts'
import { limiting, rateOf } from './rates.ts'
import { type Failure, failure } from './room.ts'

/** enum in6_addr_gen_mode: no link-local address of the kernel's own, which would wait a second for rivals (RFC 4862). */
const ADDR_GEN_NONE = 1
/** Bytes of answers: few, from one link. */
const ROOM = 1 << 16

/** Whatever is asked of a container's namespace goes through a socket that lives there for one call: 0.1 ms. */
function there<T>(namespace: string, work: (socket: Socket) => T): T {
  using socket = open({ protocol: 'route', namespace, receiveBuffer: ROOM })
  return work(socket)
}

/**
 * Moves a link of the host into a container's namespace, where it gets the first free name of the prefix, as libnetwork names it,
 * and furnishes it.
 */
export function settle(
  name: string,
  { prefix, ...inside }: Inside & { prefix: string },
): Failure | undefined {
  let file: number | undefined
  try {
    file = openSync(inside.namespace, 'r')
    using here = open({ protocol: 'route', receiveBuffer: ROOM })
    here.request(setLink({ name, netNsFd: file }))
    // The kernel puts the first free number in the place of %d (dev_alloc_name in net/core/dev.c).
    const found = there(inside.namespace, socket => {
      const { index } = socket.request(findLink({ name }))
      socket.request(setLink({ index, name: `${prefix}%d` }))
      return socket.request(findLink({ index })).name as string
    })
    return furnish(found, inside)
  } catch (error) {
    return failure(error)
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

/** Whether a link of the host is in the namespace, by whatever name: its alias tells. */
export function holds(namespace: string, name: string): boolean {
  try {
    return there(namespace, socket => socket.dump(dumpLinks()).some(({ alias }) => alias === name))
  } catch (error) {
    if (isAbsent(error)) return false
    throw error
  }
}

/** Gives a link its addresses, routes and rate and brings it up. Our own book vouches that nobody else has them, so nobody is asked. */
export function furnish(name: string, { namespace, addresses, routes, rate }: Inside): Failure | undefined {
  try {
    return there(namespace, socket => {
      const { index, address: mac = '' } = socket.request(findLink({ name }))
      const local = addresses.some(each => each.includes(':')) ? [linkLocal(mac)] : []
      const outcomes = socket.batch([
        setLink({ index, afSpec: { inet6: { addrGenMode: ADDR_GEN_NONE } } }),
        ...(rate ? [limiting(index, rate)] : []),
        setLink({ index, up: true }),
        ...[...addresses, ...local].map(cidr => newAddress({ index, cidr, flags: IFA_F.NODAD })),
        ...routes.map(route => toRequest(index, route)),
      ])
      const first = outcomes.length - routes.length
      const error = outcomes.find(
        (outcome, i) => outcome instanceof NetlinkError && !isOthers(outcome, routes[i - first]),
      )
      return error && failure(error)
    })
  } catch (error) {
    return failure(error)
  }
}

function toRequest(oif: number, { to, via }: Route): Request<undefined> {
  const family = to.includes(':') ? 10 : 2
  return newRoute({
    to: isDefault({ to }) ? 'default' : to,
    family,
    oif,
    ...(via === undefined ? {} : { gateway: via }),
  })
}

/** A container's first link is its way out; a second one leaves that as it is. */
const isOthers = ({ code }: NetlinkError, route: Route | undefined) =>
  code === 'EEXIST' && route !== undefined && isDefault(route)

const linkLocal = (mac: string) => `fe80::${interfaceId(mac)}/64`

export function look(namespace: string, name: string): Furnished | undefined {
  try {
    return there(namespace, socket => {
      const { index, address: mac = '', mtu = 0, up } = socket.request(getLink({ name }))
      const addresses = socket
        .dump(dumpAddresses({ index }))
        .filter(each => each.index === index)
        .map(({ local, address, prefixLength }) => `${local ?? address}/${prefixLength}`)
      const routes = [2, 10].flatMap(family => socket.dump(dumpRoutes({ family })))
      const root = socket.dump(dumpQdiscs()).find(each => each.index === index && rateOf(each))
      const rate = root && rateOf(root)
      return {
        mac,
        mtu,
        up,
        ...(rate && { rate }),
        addresses: addresses.filter(each => !/^fe80:/i.test(each)),
        routes: routes.flatMap(route => toRoute(route) ?? []),
      }
    })
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}

/** Undefined for what the kernel made of addresses and for multicast. */
function toRoute({ family, dst, dstLength, gateway, protocol, scope }: Found): Route | undefined {
  if (protocol === RTPROT.KERNEL || scope === RT_SCOPE.HOST) return undefined
  const to = dst === undefined ? (family === 10 ? '::/0' : '0.0.0.0/0') : `${dst}/${dstLength}`
  return gateway === undefined ? { to } : { to, via: gateway }
}

export function retire(namespace: string, name: string, mac?: string): void {
  try {
    there(namespace, socket => {
      const link = socket.request(findLink({ name }))
      if (link.group !== LINK_GROUP || link.address !== (mac ?? link.address)) return
      // A link that is up keeps its name (dev_change_name in net/core/dev.c).
      socket.batch([
        setLink({ index: link.index, up: false }),
        setLink({ index: link.index, name: `tsc-${link.index}` }),
      ])
    })
  } catch (error) {
    if (!isAbsent(error)) throw error
  }
}

/** No such link, no such path, or a path to something else (setns(2)). */
const isAbsent = (error: unknown) =>
  error instanceof NetlinkError && ['ENODEV', 'ENOENT', 'EINVAL', 'ENOTDIR', 'EACCES'].includes(error.code)
