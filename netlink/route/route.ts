import { ip } from '../address.ts'
import { attribute, attributes } from '../attributes.ts'
import { be16, type Codec, s32, text, u8, u32 } from '../codec.ts'
import { body, command, type Dump, dump, NLM_F, query, type Request } from '../message.ts'
import { struct } from '../struct.ts'
import { RTM } from './types.ts'

const AF_INET = 2
const AF_INET6 = 10

/** `rtm_type` (linux/rtnetlink.h). */
export const RTN = {
  UNICAST: 1,
  LOCAL: 2,
  BROADCAST: 3,
  MULTICAST: 5,
  BLACKHOLE: 6,
  UNREACHABLE: 7,
  PROHIBIT: 8,
  THROW: 9,
} as const
export const RT_SCOPE = { UNIVERSE: 0, SITE: 200, LINK: 253, HOST: 254, NOWHERE: 255 } as const
export const RT_TABLE = { UNSPEC: 0, DEFAULT: 253, MAIN: 254, LOCAL: 255 } as const
export const RTPROT = { UNSPEC: 0, REDIRECT: 1, KERNEL: 2, BOOT: 3, STATIC: 4 } as const
/** `flags` of a route; ONLINK takes the gateway to be on the link even if no address says so. */
export const RTNH_F = { DEAD: 1, PERVASIVE: 2, ONLINK: 4, OFFLOAD: 8, LINKDOWN: 16 } as const

/** Asks for the table that the route was found in. */
const RTM_F_LOOKUP_TABLE = 0x1000

/** struct rtmsg. Tables above 255 are in the attribute `table`, which the kernel always sends. */
export const rtmsg = {
  family: u8,
  dstLength: u8,
  srcLength: u8,
  tos: u8,
  shortTable: u8,
  protocol: u8,
  scope: u8,
  type: u8,
  flags: u32,
}

export const metricsSet = attributes({
  lock: attribute(1, 'RTAX_LOCK', u32),
  mtu: attribute(2, 'RTAX_MTU', u32),
  window: attribute(3, 'RTAX_WINDOW', u32),
  rtt: attribute(4, 'RTAX_RTT', u32),
  rttvar: attribute(5, 'RTAX_RTTVAR', u32),
  ssthresh: attribute(6, 'RTAX_SSTHRESH', u32),
  cwnd: attribute(7, 'RTAX_CWND', u32),
  advmss: attribute(8, 'RTAX_ADVMSS', u32),
  reordering: attribute(9, 'RTAX_REORDERING', u32),
  hoplimit: attribute(10, 'RTAX_HOPLIMIT', u32),
  initcwnd: attribute(11, 'RTAX_INITCWND', u32),
  features: attribute(12, 'RTAX_FEATURES', u32),
  rtoMin: attribute(13, 'RTAX_RTO_MIN', u32),
  initrwnd: attribute(14, 'RTAX_INITRWND', u32),
  quickack: attribute(15, 'RTAX_QUICKACK', u32),
  ccAlgo: attribute(16, 'RTAX_CC_ALGO', text),
  fastopenNoCookie: attribute(17, 'RTAX_FASTOPEN_NO_COOKIE', u32),
})

/** struct rta_cacheinfo; `expires` in hundredths of a second. */
const cacheInfo = struct({
  references: u32,
  lastUse: u32,
  expires: s32,
  error: u32,
  used: u32,
  id: u32,
  timestamp: u32,
  timestampAge: u32,
})

/** A neighbour of another family than the route's (struct rtvia): the family in 16 bits, then the address. */
const neighbour: Codec<string> = {
  write(out, value) {
    out.u16(value.includes(':') ? AF_INET6 : AF_INET)
    ip.write(out, value)
  },
  read: (bytes, from, to) => ip.read(bytes, from + 2, to),
}

/** Routes over several next hops (RTA_MULTIPATH) and their encapsulation are passed over. */
export const routeSet = attributes({
  dst: attribute(1, 'RTA_DST', ip),
  src: attribute(2, 'RTA_SRC', ip),
  iif: attribute(3, 'RTA_IIF', u32),
  oif: attribute(4, 'RTA_OIF', u32),
  gateway: attribute(5, 'RTA_GATEWAY', ip),
  priority: attribute(6, 'RTA_PRIORITY', u32),
  prefsrc: attribute(7, 'RTA_PREFSRC', ip),
  metrics: attribute(8, 'RTA_METRICS', metricsSet),
  flow: attribute(11, 'RTA_FLOW', u32),
  cacheInfo: attribute(12, 'RTA_CACHEINFO', cacheInfo),
  table: attribute(15, 'RTA_TABLE', u32),
  mark: attribute(16, 'RTA_MARK', u32),
  via: attribute(18, 'RTA_VIA', neighbour),
  pref: attribute(20, 'RTA_PREF', u8),
  ttlPropagate: attribute(26, 'RTA_TTL_PROPAGATE', u8),
  ipProto: attribute(27, 'RTA_IP_PROTO', u8),
  sport: attribute(28, 'RTA_SPORT', be16),
  dport: attribute(29, 'RTA_DPORT', be16),
  nhId: attribute(30, 'RTA_NH_ID', u32),
})

export const routeBody = body(rtmsg, routeSet)
/** `dst` is absent in a default route; `dstLength` is its prefix length. */
export type Route = ReturnType<typeof routeBody.read>
type Wire = Parameters<typeof routeBody.write>[1]

/**
 * `to` in CIDR form, or `default` with the family of its gateway (IPv4 when there is none, else say `family`). `gateway` of an IPv4 route
 * may be IPv6 (Linux 5.2, RTA_VIA).
 */
export type RouteSpec = { to: string; family?: number; table?: number } & Pick<
  Wire,
  | 'oif'
  | 'gateway'
  | 'priority'
  | 'prefsrc'
  | 'metrics'
  | 'protocol'
  | 'scope'
  | 'type'
  | 'flags'
  | 'tos'
  | 'pref'
>

function familyOf({ to, gateway, family }: RouteSpec): number {
  const told = to === 'default' ? (gateway ?? to) : to
  return family ?? (told.includes(':') ? AF_INET6 : AF_INET)
}

function scopeOf({ type = RTN.UNICAST, gateway }: RouteSpec, family: number): number {
  if (family === AF_INET6 || gateway || type >= RTN.BLACKHOLE) return RT_SCOPE.UNIVERSE
  return type === RTN.LOCAL ? RT_SCOPE.HOST : RT_SCOPE.LINK
}

/** What `ip route` would fill in: unicast, table main, protocol boot, and scope link when there is no gateway. */
function spec(route: RouteSpec): Wire {
  const { to, gateway, table = RT_TABLE.MAIN } = route
  const family = familyOf(route)
  const isOther = family === AF_INET && gateway?.includes(':')
  const slash = to.indexOf('/')
  const whole = family === AF_INET6 ? 128 : 32
  const dst = to === 'default' ? undefined : slash < 0 ? to : to.slice(0, slash)
  const wire = {
    dstLength: dst === undefined ? 0 : slash < 0 ? whole : Number(to.slice(slash + 1)),
    shortTable: table < 256 ? table : RT_TABLE.UNSPEC,
    protocol: RTPROT.BOOT,
    type: RTN.UNICAST,
    scope: scopeOf(route, family),
    dst,
    via: isOther ? gateway : undefined,
    ...route,
    gateway: isOther ? undefined : gateway,
    to: undefined,
    family,
    table: table < 256 ? undefined : table,
  }
  return wire as Wire
}

/** `ip route add`. EEXIST when there is one of that destination, metric and table. */
export const newRoute = (route: RouteSpec): Request<undefined> =>
  command(RTM.NEWROUTE, NLM_F.CREATE | NLM_F.EXCL, routeBody, spec(route))

/** `ip route replace`. */
export const replaceRoute = (route: RouteSpec): Request<undefined> =>
  command(RTM.NEWROUTE, NLM_F.CREATE | NLM_F.REPLACE, routeBody, spec(route))

/** `ip route del`: the first that has all that is given, of any scope and protocol unless those are named. ESRCH when there is none. */
export const delRoute = (route: RouteSpec): Request<undefined> =>
  command(RTM.DELROUTE, 0, routeBody, {
    ...spec(route),
    scope: route.scope ?? RT_SCOPE.NOWHERE,
    protocol: route.protocol ?? RTPROT.UNSPEC,
    type: route.type ?? 0,
  })

/** `ip route get`: the way to one address. */
export const getRoute = (address: string): Request<Route> => {
  const six = address.includes(':')
  return query(
    RTM.GETROUTE,
    routeBody,
    { family: six ? AF_INET6 : AF_INET, dstLength: six ? 128 : 32, flags: RTM_F_LOOKUP_TABLE, dst: address },
    routeBody,
  )
}

/** `ip route show`; the kernel filters by table, out link, protocol and type, given a family. */
export const dumpRoutes = (
  filter: { family?: number; table?: number; oif?: number; protocol?: number; type?: number } = {},
): Dump<Route> => dump(RTM.GETROUTE, routeBody, filter, routeBody)
