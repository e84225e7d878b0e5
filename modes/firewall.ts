import { MEMBERS } from '../core/elsewhere.ts'
import type { ChainRow, ElementRow, Row, SetRow, SysctlRow, Wanted } from '../core/rows.ts'

/**
 * The packet filter that all modes share: table `inet tsnet`. Its chains are the same on every host and never grow;
 * networks and ports are elements of its sets, so a packet costs the same with one network and with a hundred.
 *
 * Our links carry link group 29811 ("ts"), which is how a rule knows them without a list of names.
 */
export const LINK_GROUP = 29811

const ours = { in: `iifgroup ${LINK_GROUP}`, out: `oifgroup ${LINK_GROUP}` }

/** Verdicts of `ingress4` and `ingress6`: what may come into a bridge from anywhere but itself. */
export type Ingress = 'nat' | 'unprotected' | 'routed' | 'closed'

/** A tunnel's own packets: nobody answers them, so each flow would be an entry of connection tracking that says nothing. */
const untracked = ['udp dport . @th,96,24 @vnis notrack']

const chains: ChainRow[] = [
  {
    kind: 'chain',
    name: 'raw',
    hook: 'type filter hook prerouting priority raw',
    // route_localnet on our bridges lets 127.0.0.1 reach published ports; without this a container, or with kube-proxy's
    // way of setting it everywhere a neighbour, would reach the host's loopback services (CVE-2020-8558). A neighbour
    // would reach those published at 127.0.0.1 in any case: they are mapped before the kernel looks for martians.
    rules: [
      'ip daddr 127.0.0.0/8 iifname != "lo" drop',
      `${ours.in} ip saddr 127.0.0.0/8 drop`,
      ...untracked,
    ],
  },
  { kind: 'chain', name: 'leaving', hook: 'type filter hook output priority raw', rules: untracked },
  {
    kind: 'chain',
    name: 'forward',
    // Before the iptables chains at priority 0: what gets past here has been judged, so they may simply accept it.
    hook: 'type filter hook forward priority filter - 5',
    rules: [
      `iifgroup != ${LINK_GROUP} oifgroup != ${LINK_GROUP} accept`,
      'ct state established,related accept',
      'iifname . oifname @same accept',
      'iifname @internal drop',
      'meta nfproto ipv4 oifname vmap @ingress4',
      'meta nfproto ipv6 oifname vmap @ingress6',
      'oifname @engine ct status dnat accept',
      'oifname @engine drop',
    ],
  },
  {
    kind: 'chain',
    name: 'nat',
    rules: ['ct status dnat accept', 'iifname . oifname @trusted jump open', 'drop'],
  },
  {
    kind: 'chain',
    name: 'unprotected',
    rules: ['ct status dnat accept', `${ours.in} drop`, 'iifname @engine drop', 'accept'],
  },
  {
    kind: 'chain',
    name: 'routed',
    rules: [
      'meta l4proto icmp accept',
      'meta l4proto icmpv6 accept',
      'ct status dnat accept',
      'jump open',
      'drop',
    ],
  },
  {
    kind: 'chain',
    name: 'closed',
    rules: ['drop'],
  },
  {
    kind: 'chain',
    name: 'open',
    rules: [
      'ip daddr . meta l4proto . th dport @open4 accept',
      'ip6 daddr . meta l4proto . th dport @open6 accept',
    ],
  },
  {
    kind: 'chain',
    name: 'underlay',
    hook: 'type filter hook input priority filter - 5',
    // Not called after the tunnel, which is a word of newer nft's own. VXLAN knows no password: whoever may send to the port could put frames into a network. Packets of others who use the same
    // UDP port, as Docker's own overlay does, are told apart by their VNI: the three bytes behind UDP's header and four more.
    rules: [
      `udp dport . @th,96,24 @vnis ip saddr != @${MEMBERS[4]} drop`,
      `udp dport . @th,96,24 @vnis ip6 saddr != @${MEMBERS[6]} drop`,
    ],
  },
  {
    kind: 'chain',
    name: 'prerouting',
    hook: 'type nat hook prerouting priority dstnat',
    rules: ['fib daddr type local jump publish'],
  },
  {
    kind: 'chain',
    name: 'output',
    hook: 'type nat hook output priority -100',
    rules: ['fib daddr type local jump publish'],
  },
  {
    kind: 'chain',
    name: 'publish',
    rules: [
      'dnat ip to ip daddr . meta l4proto . th dport map @ports4',
      'meta nfproto ipv4 dnat ip to meta l4proto . th dport map @any4',
      // IPv6 has no route_localnet: a packet from ::1 can't leave the loopback link. Unmapped, it is refused at once and
      // a client that tried `localhost` goes on to 127.0.0.1.
      'ip6 daddr ::1 return',
      'dnat ip6 to ip6 daddr . meta l4proto . th dport map @ports6',
      'meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @any6',
    ],
  },
  {
    kind: 'chain',
    name: 'postrouting',
    hook: 'type nat hook postrouting priority srcnat',
    rules: [
      `${ours.out} jump inward`,
      `${ours.out} accept`,
      'ip saddr @pods4 ip daddr @pods4 accept',
      'ip6 saddr @pods6 ip6 daddr @pods6 accept',
      'snat ip to ip saddr map @snat4',
      'snat ip6 to ip6 saddr map @snat6',
      'ip saddr @masq4 masquerade',
      'ip6 saddr @masq6 masquerade',
    ],
  },
  {
    kind: 'chain',
    name: 'inward',
    // The answer has to come back through us: no container can answer the loopback address, and one of the same subnet
    // would answer its neighbour directly.
    rules: [
      'ip saddr 127.0.0.0/8 masquerade',
      'ct status dnat ip saddr . oifname @subnets4 masquerade',
      'ct status dnat ip6 saddr . oifname @subnets6 masquerade',
      // Nobody takes a packet from himself that comes in by a link.
      'ct status dnat ip saddr . ip daddr @selves4 masquerade',
      'ct status dnat ip6 saddr . ip6 daddr @selves6 masquerade',
    ],
  },
]

const sets: SetRow[] = [
  /** A bridge and itself: br_netfilter shows us frames between two of its ports. */
  { kind: 'set', name: 'same', type: ['ifname', 'ifname'] },
  /** Bridges whose containers reach nobody else. */
  { kind: 'set', name: 'internal', type: ['ifname'] },
  { kind: 'set', name: 'ingress4', type: ['ifname'], value: 'verdict' },
  { kind: 'set', name: 'ingress6', type: ['ifname'], value: 'verdict' },
  /** Outside link and bridge: may reach published ports at the containers' own addresses. */
  { kind: 'set', name: 'trusted', type: ['ifname', 'ifname'] },
  /** Bridges of the container engine itself: its containers are as closed to ours as ours to them. */
  { kind: 'set', name: 'engine', type: ['ifname'] },
  /** UDP port and VNI of our overlay networks. */
  { kind: 'set', name: 'vnis', type: ['inet_service', 'vni'] },
  /** Tunnel end points of all members. */
  { kind: 'set', name: MEMBERS[4], type: ['ipv4_addr'] },
  { kind: 'set', name: MEMBERS[6], type: ['ipv6_addr'] },
  { kind: 'set', name: 'open4', type: ['ipv4_addr', 'inet_proto', 'inet_service'] },
  { kind: 'set', name: 'open6', type: ['ipv6_addr', 'inet_proto', 'inet_service'] },
  {
    kind: 'set',
    name: 'ports4',
    type: ['ipv4_addr', 'inet_proto', 'inet_service'],
    value: ['ipv4_addr', 'inet_service'],
  },
  {
    kind: 'set',
    name: 'ports6',
    type: ['ipv6_addr', 'inet_proto', 'inet_service'],
    value: ['ipv6_addr', 'inet_service'],
  },
  { kind: 'set', name: 'any4', type: ['inet_proto', 'inet_service'], value: ['ipv4_addr', 'inet_service'] },
  { kind: 'set', name: 'any6', type: ['inet_proto', 'inet_service'], value: ['ipv6_addr', 'inet_service'] },
  { kind: 'set', name: 'masq4', type: ['ipv4_addr'], interval: true },
  { kind: 'set', name: 'masq6', type: ['ipv6_addr'], interval: true },
  /** Pools of networks whose containers reach those of other nodes by routes, under their own addresses. */
  { kind: 'set', name: 'pods4', type: ['ipv4_addr'], interval: true },
  { kind: 'set', name: 'pods6', type: ['ipv6_addr'], interval: true },
  { kind: 'set', name: 'snat4', type: ['ipv4_addr'], value: ['ipv4_addr'], interval: true },
  { kind: 'set', name: 'snat6', type: ['ipv6_addr'], value: ['ipv6_addr'], interval: true },
  { kind: 'set', name: 'subnets4', type: ['ipv4_addr', 'ifname'], interval: true },
  { kind: 'set', name: 'subnets6', type: ['ipv6_addr', 'ifname'], interval: true },
  /** Twice the address of a container with published ports, where its neighbours' addresses are kept. */
  { kind: 'set', name: 'selves4', type: ['ipv4_addr', 'ipv4_addr'] },
  { kind: 'set', name: 'selves6', type: ['ipv6_addr', 'ipv6_addr'] },
]

const forwarding: SysctlRow[] = [
  { kind: 'sysctl', key: 'net/ipv4/ip_forward', value: '1' },
  { kind: 'sysctl', key: 'net/ipv6/conf/all/forwarding', value: '1' },
]

export const must = (row: Row): Wanted => ({ row, presence: 'must' })
export const may = (row: Row): Wanted => ({ row, presence: 'may' })

export const element = (set: string, key: string[], value?: string[]): ElementRow =>
  value ? { kind: 'element', set, key, value } : { kind: 'element', set, key }

/** What every host needs before its first network. */
export function ground(): Wanted[] {
  return [...sets, ...chains, ...forwarding].map(must)
}
