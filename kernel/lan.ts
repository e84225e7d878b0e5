import { setTimeout as after } from 'node:timers/promises'
import {
  dumpAddresses,
  dumpLinks,
  ETH_P,
  Frames,
  getLink,
  type Link,
  NetlinkError,
  type Socket,
} from '@tsnet/netlink'
import { host } from '../core/addresses.ts'
import type { Claim, Parent } from '../core/faces.ts'
import { announcementFrame, claimIn, probeFrame } from './lanframes.ts'
import { lanFields } from './lanplan.ts'
import { TRASH_GROUP } from './names.ts'

const IFF_LOOPBACK = 8
/** What VLANs are of unless told; those of 802.1ad have numbers of their own. */
const ETH_P_8021Q = 0x8100

/** When a question is asked, in milliseconds, and how long answers are waited for: neighbours on a wire need less than one. */
const ASKED = [0, 40]
const HEARD = 100

/** Lets through solicitations and advertisements of IPv6 neighbours: next header 58, type 135 or 136 (linux/filter.h). */
const NEIGHBOURS = [
  [0x30, 0, 0, 20],
  [0x15, 0, 4, 58],
  [0x30, 0, 0, 54],
  [0x15, 1, 0, 135],
  [0x15, 0, 1, 136],
  [0x06, 0, 0, 0xffff],
  [0x06, 0, 0, 0],
] as const

export function parentFacts(socket: Socket, name: string): Parent | undefined {
  const link = find(socket, name)
  if (!link) return undefined
  const all = socket.dump(dumpLinks())
  const { index, master, mtu = 0, flags } = link
  const above = all.filter(each => each.link === index && each.group !== TRASH_GROUP)
  return {
    loopback: (flags & IFF_LOOPBACK) !== 0,
    mtu,
    ...(master !== undefined && { master: all.find(each => each.index === master)?.name ?? String(master) }),
    children: above.flatMap(each =>
      each.kind === 'macvlan' || each.kind === 'ipvlan'
        ? { type: each.kind, mode: lanFields(each, new Map()).mode ?? '' }
        : [],
    ),
    vlans: above.flatMap(({ kind, name = '', data }) =>
      kind === 'vlan' && data?.id !== undefined && data.protocol === ETH_P_8021Q
        ? { name, tag: data.id }
        : [],
    ),
  }
}

function find(socket: Socket, name: string): Link | undefined {
  const [link] = socket.batch([getLink({ name })])
  return link === undefined || link instanceof NetlinkError || link.group === TRASH_GROUP ? undefined : link
}

/** Link-layer addresses of Ethernet have six bytes; others know neither ARP nor ND as they are here. */
const isEthernet = (mac = '') => mac.length === 17

const socketsFor = (addresses: readonly string[]) => [
  ...(addresses.some(each => !each.includes(':')) ? [{ protocol: ETH_P.ARP, six: false }] : []),
  ...(addresses.some(each => each.includes(':')) ? [{ protocol: ETH_P.IPV6, six: true }] : []),
]

/** The host answers none of its own questions. */
function here(socket: Socket, addresses: readonly string[]): string | undefined {
  const own = socket.dump(dumpAddresses()).map(({ local, address = '' }) => host(local ?? address))
  return addresses.find(each => own.includes(each))
}

/** Asks twice and goes as soon as somebody answers. The questions bear the link's own MAC, whose answers surely reach us. */
export async function probe(
  socket: Socket,
  name: string,
  addresses: readonly string[],
): Promise<Claim | undefined> {
  const { index, address: mac = '' } = find(socket, name) ?? {}
  if (index === undefined || !isEthernet(mac)) return undefined
  const own = here(socket, addresses)
  if (own !== undefined) return { address: own, mac }
  const claims: Claim[] = []
  const end = new AbortController()
  const hear = (frame: Buffer) => {
    const claim = claimIn(frame, addresses, mac)
    if (!claim) return
    claims.push(claim)
    end.abort()
  }
  const opened = socketsFor(addresses).map(({ protocol, six }) => ({
    six,
    frames: new Frames({ index, protocol, ...(six && { filter: NEIGHBOURS }) }, hear),
  }))
  const ask = () => {
    for (const { six, frames } of opened)
      for (const each of addresses) if (each.includes(':') === six) frames.send(probeFrame(mac, each))
  }
  try {
    let now = 0
    for (const at of ASKED) {
      await pause(at - now, end.signal)
      now = at
      if (claims.length === 0) ask()
    }
    await pause(HEARD - now, end.signal)
  } catch (error) {
    if (!isDown(error)) throw error
  } finally {
    for (const { frames } of opened) frames.close()
  }
  return claims[0]
}

const pause = (wait: number, signal: AbortSignal) => after(wait, undefined, { signal }).catch(() => undefined)

/** There is no LAN to be asked. */
const isDown = (error: unknown) =>
  error instanceof NetlinkError && ['ENETDOWN', 'ENODEV', 'ENXIO', 'ENOBUFS', 'EAGAIN'].includes(error.code)

/** What isn't told is asked for: nobody waits for this. */
export function announce(socket: Socket, name: string, addresses: readonly string[], mac?: string): void {
  const link = find(socket, name)
  if (!link || !isEthernet(link.address)) return
  try {
    for (const { protocol, six } of socketsFor(addresses)) {
      using frames = new Frames({ index: link.index, protocol, filter: [[0x06, 0, 0, 0]] })
      for (const each of addresses)
        if (each.includes(':') === six) frames.send(announcementFrame(mac ?? link.address ?? '', each))
    }
  } catch (error) {
    if (!isDown(error)) throw error
  }
}
