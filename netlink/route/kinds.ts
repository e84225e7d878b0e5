import { ip, mac } from '../address.ts'
import { attribute, attributes, list } from '../attributes.ts'
import { be16, be32, type Codec, flag, u8, u16, u32 } from '../codec.ts'
import { NetlinkError } from '../error.ts'
import { pair } from '../struct.ts'
import { type PlainLink, plainLinkBody } from './plainlink.ts'

/** Lowest and highest source port, both in network order (struct ifla_vxlan_port_range). */
const portRange = pair(be16, be16)

/** Asked for by being there, answered as a byte (vxlan_fill_info in drivers/net/vxlan/vxlan_core.c). */
const flagOrByte: Codec<boolean> = {
  write(out, value) {
    if (!value) throw NetlinkError.invalid('a flag is set by being there: leave it out instead of false')
    flag.write(out, true)
  },
  read: (bytes, from, to) => from === to || u8.read(bytes, from, to) !== 0,
}

/** `id` is the VNI; `group` also carries a unicast remote. Ageing in seconds. */
export const vxlanSet = attributes({
  id: attribute(1, 'IFLA_VXLAN_ID', u32),
  group: attribute(2, 'IFLA_VXLAN_GROUP', ip),
  link: attribute(3, 'IFLA_VXLAN_LINK', u32),
  local: attribute(4, 'IFLA_VXLAN_LOCAL', ip),
  ttl: attribute(5, 'IFLA_VXLAN_TTL', u8),
  tos: attribute(6, 'IFLA_VXLAN_TOS', u8),
  learning: attribute(7, 'IFLA_VXLAN_LEARNING', u8),
  ageing: attribute(8, 'IFLA_VXLAN_AGEING', u32),
  limit: attribute(9, 'IFLA_VXLAN_LIMIT', u32),
  portRange: attribute(10, 'IFLA_VXLAN_PORT_RANGE', portRange),
  proxy: attribute(11, 'IFLA_VXLAN_PROXY', u8),
  rsc: attribute(12, 'IFLA_VXLAN_RSC', u8),
  l2miss: attribute(13, 'IFLA_VXLAN_L2MISS', u8),
  l3miss: attribute(14, 'IFLA_VXLAN_L3MISS', u8),
  port: attribute(15, 'IFLA_VXLAN_PORT', be16),
  group6: attribute(16, 'IFLA_VXLAN_GROUP6', ip),
  local6: attribute(17, 'IFLA_VXLAN_LOCAL6', ip),
  udpCsum: attribute(18, 'IFLA_VXLAN_UDP_CSUM', u8),
  udpZeroCsum6Tx: attribute(19, 'IFLA_VXLAN_UDP_ZERO_CSUM6_TX', u8),
  udpZeroCsum6Rx: attribute(20, 'IFLA_VXLAN_UDP_ZERO_CSUM6_RX', u8),
  remcsumTx: attribute(21, 'IFLA_VXLAN_REMCSUM_TX', u8),
  remcsumRx: attribute(22, 'IFLA_VXLAN_REMCSUM_RX', u8),
  gbp: attribute(23, 'IFLA_VXLAN_GBP', flag),
  remcsumNopartial: attribute(24, 'IFLA_VXLAN_REMCSUM_NOPARTIAL', flag),
  collectMetadata: attribute(25, 'IFLA_VXLAN_COLLECT_METADATA', u8),
  label: attribute(26, 'IFLA_VXLAN_LABEL', be32),
  gpe: attribute(27, 'IFLA_VXLAN_GPE', flag),
  ttlInherit: attribute(28, 'IFLA_VXLAN_TTL_INHERIT', flagOrByte),
  df: attribute(29, 'IFLA_VXLAN_DF', u8),
  vnifilter: attribute(30, 'IFLA_VXLAN_VNIFILTER', u8),
})

/** `mode` as enum macvlan_mode: 1 private, 2 vepa, 4 bridge, 8 passthru, 16 source. */
export const macvlanSet = attributes({
  mode: attribute(1, 'IFLA_MACVLAN_MODE', u32),
  flags: attribute(2, 'IFLA_MACVLAN_FLAGS', u16),
  macaddrMode: attribute(3, 'IFLA_MACVLAN_MACADDR_MODE', u32),
  macaddr: attribute(4, 'IFLA_MACVLAN_MACADDR', mac),
  macaddrData: attribute(5, 'IFLA_MACVLAN_MACADDR_DATA', list(4, mac)),
  macaddrCount: attribute(6, 'IFLA_MACVLAN_MACADDR_COUNT', u32),
  bcQueueLen: attribute(7, 'IFLA_MACVLAN_BC_QUEUE_LEN', u32),
  bcQueueLenUsed: attribute(8, 'IFLA_MACVLAN_BC_QUEUE_LEN_USED', u32),
})

/** `mode` as enum ipvlan_mode: 0 l2, 1 l3, 2 l3s. `flags`: 1 private, 2 vepa, none of them bridge (linux/if_link.h). */
export const ipvlanSet = attributes({
  mode: attribute(1, 'IFLA_IPVLAN_MODE', u16),
  flags: attribute(2, 'IFLA_IPVLAN_FLAGS', u16),
})

/** Which of `flags` are meant is said by `mask` (struct ifla_vlan_flags). */
const vlanFlags = pair(u32, u32)
/** From a priority to another, the host's and the tag's (struct ifla_vlan_qos_mapping). */
const priorities = pair(u32, u32)

/** `protocol` is the EtherType of the tag, 0x8100 for 802.1Q and 0x88a8 for 802.1ad. */
export const vlanSet = attributes({
  id: attribute(1, 'IFLA_VLAN_ID', u16),
  flags: attribute(2, 'IFLA_VLAN_FLAGS', vlanFlags),
  egressQos: attribute(3, 'IFLA_VLAN_EGRESS_QOS', list(1, priorities)),
  ingressQos: attribute(4, 'IFLA_VLAN_INGRESS_QOS', list(1, priorities)),
  protocol: attribute(5, 'IFLA_VLAN_PROTOCOL', be16),
})

/** The other end: a link of its own, with a head of its own. */
const peer: Codec<PlainLink> = { write: plainLinkBody.write, read: plainLinkBody.read }

export const vethSet = attributes({ peer: attribute(1, 'VETH_INFO_PEER', peer) })
