import { ip } from '../address.ts'
import { attribute, attributes } from '../attributes.ts'
import { s32, text, u8, u32 } from '../codec.ts'
import { body, command, type Dump, dump, NLM_F, type Request } from '../message.ts'
import { struct } from '../struct.ts'
import { RTM } from './types.ts'

/** Flags of an address (linux/if_addr.h). */
export const IFA_F = {
  SECONDARY: 0x01,
  NODAD: 0x02,
  OPTIMISTIC: 0x04,
  DADFAILED: 0x08,
  HOMEADDRESS: 0x10,
  DEPRECATED: 0x20,
  TENTATIVE: 0x40,
  PERMANENT: 0x80,
  MANAGETEMPADDR: 0x100,
  NOPREFIXROUTE: 0x200,
  MCAUTOJOIN: 0x400,
  STABLE_PRIVACY: 0x800,
} as const

/** struct ifaddrmsg (linux/if_addr.h). `shortFlags` are the low byte of the attribute `flags`. */
export const ifaddrmsg = { family: u8, prefixLength: u8, shortFlags: u8, scope: u8, index: u32 }

/** Lifetimes in seconds, 0xffffffff for ever; stamps in hundredths of a second since boot. */
const cacheInfo = struct({ preferred: u32, valid: u32, created: u32, updated: u32 })

export const addressSet = attributes({
  address: attribute(1, 'IFA_ADDRESS', ip),
  local: attribute(2, 'IFA_LOCAL', ip),
  label: attribute(3, 'IFA_LABEL', text),
  broadcast: attribute(4, 'IFA_BROADCAST', ip),
  anycast: attribute(5, 'IFA_ANYCAST', ip),
  cacheInfo: attribute(6, 'IFA_CACHEINFO', cacheInfo),
  multicast: attribute(7, 'IFA_MULTICAST', ip),
  flags: attribute(8, 'IFA_FLAGS', u32),
  rtPriority: attribute(9, 'IFA_RT_PRIORITY', u32),
  targetNetnsid: attribute(10, 'IFA_TARGET_NETNSID', s32),
  proto: attribute(11, 'IFA_PROTO', u8),
})

export const addressBody = body(ifaddrmsg, addressSet)
export type AddressSpec = Parameters<typeof addressBody.write>[1]
/** `address` is the prefix, which on a point-to-point link is the peer's; `local` is our own and absent for IPv6. */
export type Address = ReturnType<typeof addressBody.read>

/** Reads the body of an RTM_NEWADDR or RTM_DELADDR event. */
export const readAddress = addressBody.read

/** An address in CIDR form on a link. */
export type OnLink = {
  index: number
  cidr: string
  flags?: number
  scope?: number
  broadcast?: string
  rtPriority?: number
  /** Who set it: a number above 3. */
  proto?: number
  /** Seconds for which the host chooses it as the source of new packets; for ever when absent. */
  preferred?: number
}

/** How long an address is valid that nobody takes away. */
const FOREVER = 0xffffffff

/** `10.0.0.1/24` as what ifaddrmsg and its attributes want. */
function spec({ index, cidr, preferred, ...rest }: OnLink): AddressSpec {
  const [local = '', prefixLength = ''] = cidr.split('/')
  const six = local.includes(':')
  // The order of `ip`, which the goldens check.
  return {
    family: six ? 10 : 2,
    prefixLength: Number(prefixLength || (six ? 128 : 32)),
    index,
    local,
    ...rest,
    address: local,
    ...(preferred !== undefined && { cacheInfo: { preferred, valid: FOREVER, created: 0, updated: 0 } }),
  }
}

/** `ip address add`. EEXIST when it is there. */
export const newAddress = (address: OnLink): Request<undefined> =>
  command(RTM.NEWADDR, NLM_F.CREATE | NLM_F.EXCL, addressBody, spec(address))

/** `ip address replace`: adds it or changes its flags and lifetimes. */
export const replaceAddress = (address: OnLink): Request<undefined> =>
  command(RTM.NEWADDR, NLM_F.CREATE | NLM_F.REPLACE, addressBody, spec(address))

/** `ip address del`. EADDRNOTAVAIL when it isn't there. */
export const delAddress = (address: OnLink): Request<undefined> =>
  command(RTM.DELADDR, 0, addressBody, spec(address))

/** `ip address show`; of one link or family only, when asked. */
export const dumpAddresses = (filter: { index?: number; family?: number } = {}): Dump<Address> =>
  dump(RTM.GETADDR, addressBody, filter, addressBody)
