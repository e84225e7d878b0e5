import { type Expression, expression, NFPROTO, NFT_CT, NFT_FIB, NFT_META, NFT_PAYLOAD } from '@tsnet/netlink'
import type { FieldType } from '../core/rows.ts'
import { WIDTH } from './fields.ts'

/** Something of a packet that a rule can ask for: what puts it into a register, and what a packet must be to have it. */
export type Selector = { bytes: number; load: (dreg: number) => Expression; needs?: Need } & Reading
/** How words for it become bytes: those of a field of a set, numbers in the machine's order, or bits of which one is to be set. */
type Reading = { type: FieldType } | { names?: Record<string, number>; bits?: true }
export type Need = 'meta nfproto ipv4' | 'meta nfproto ipv6' | 'meta l4proto udp'

const meta = (key: number) => (dreg: number) => expression('meta', { dreg, key })
const payload = (base: number, offset: number, length: number) => (dreg: number) =>
  expression('payload', { dreg, base, offset, length })
const ct = (key: number) => (dreg: number) => expression('ct', { dreg, key })

const { NETWORK, TRANSPORT } = NFT_PAYLOAD
const port = { bytes: 2, type: 'inet_service', load: payload(TRANSPORT, 2, 2) } as const
const ip4 = { bytes: 4, type: 'ipv4_addr', needs: 'meta nfproto ipv4' } as const
const ip6 = { bytes: 16, type: 'ipv6_addr', needs: 'meta nfproto ipv6' } as const

/** By nft's words for them (nft(8), "PRIMARY EXPRESSIONS" and "PAYLOAD EXPRESSIONS"). */
export const SELECTORS: Record<string, Selector> = {
  iifname: { bytes: WIDTH.ifname, type: 'ifname', load: meta(NFT_META.IIFNAME) },
  oifname: { bytes: WIDTH.ifname, type: 'ifname', load: meta(NFT_META.OIFNAME) },
  iifgroup: { bytes: 4, load: meta(NFT_META.IIFGROUP) },
  oifgroup: { bytes: 4, load: meta(NFT_META.OIFGROUP) },
  'meta nfproto': {
    bytes: 1,
    names: { ipv4: NFPROTO.IPV4, ipv6: NFPROTO.IPV6 },
    load: meta(NFT_META.NFPROTO),
  },
  'meta l4proto': { bytes: 1, type: 'inet_proto', load: meta(NFT_META.L4PROTO) },
  // Offsets of struct iphdr (linux/ip.h), ipv6hdr (linux/ipv6.h), udphdr (linux/udp.h).
  'ip saddr': { ...ip4, load: payload(NETWORK, 12, 4) },
  'ip daddr': { ...ip4, load: payload(NETWORK, 16, 4) },
  'ip6 saddr': { ...ip6, load: payload(NETWORK, 8, 16) },
  'ip6 daddr': { ...ip6, load: payload(NETWORK, 24, 16) },
  'th dport': port,
  'udp dport': { ...port, needs: 'meta l4proto udp' },
  /** The VNI: three bytes behind UDP's header and four more (RFC 7348, section 5). */
  '@th,96,24': { bytes: WIDTH.vni, type: 'vni', load: payload(TRANSPORT, 12, WIDTH.vni) },
  // Bits of linux/netfilter/nf_conntrack_common.h.
  'ct state': { bytes: 4, bits: true, names: { established: 2, related: 4 }, load: ct(NFT_CT.STATE) },
  'ct status': { bytes: 4, bits: true, names: { dnat: 1 << 5 }, load: ct(NFT_CT.STATUS) },
  // RTN_LOCAL (linux/rtnetlink.h).
  'fib daddr type': {
    bytes: 4,
    names: { local: 2 },
    load: dreg => expression('fib', { dreg, result: NFT_FIB.ADDRTYPE, flags: NFT_FIB.DADDR }),
  },
}
