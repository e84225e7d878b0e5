import { ip, mac } from '../address.ts'
import { attribute, attributes } from '../attributes.ts'
import { bare, s32, text, u8, u16, u32 } from '../codec.ts'
import { body } from '../message.ts'

/** struct ifinfomsg (linux/rtnetlink.h). `change` says which bits of `flags` are meant. */
export const ifinfomsg = { family: u8, _pad: u8, type: u16, index: s32, flags: u32, change: u32 }

export const inet6Set = attributes({
  flags: attribute(1, 'IFLA_INET6_FLAGS', u32),
  token: attribute(7, 'IFLA_INET6_TOKEN', ip),
  /** enum in6_addr_gen_mode: 0 from the MAC, 1 none, 2 stable privacy, 3 random. */
  addrGenMode: attribute(8, 'IFLA_INET6_ADDR_GEN_MODE', u8),
})

export const afSpecSet = attributes({ inet6: attribute(10, 'AF_INET6', inet6Set) })

/** What every link has, whatever its kind. */
export const plainLinkTable = {
  address: attribute(1, 'IFLA_ADDRESS', mac),
  broadcast: attribute(2, 'IFLA_BROADCAST', mac),
  name: attribute(3, 'IFLA_IFNAME', text),
  mtu: attribute(4, 'IFLA_MTU', u32),
  link: attribute(5, 'IFLA_LINK', u32),
  qdisc: attribute(6, 'IFLA_QDISC', text),
  master: attribute(10, 'IFLA_MASTER', u32),
  txqlen: attribute(13, 'IFLA_TXQLEN', u32),
  weight: attribute(15, 'IFLA_WEIGHT', u32),
  operstate: attribute(16, 'IFLA_OPERSTATE', u8),
  linkmode: attribute(17, 'IFLA_LINKMODE', u8),
  netNsPid: attribute(19, 'IFLA_NET_NS_PID', u32),
  alias: attribute(20, 'IFLA_IFALIAS', bare),
  numVf: attribute(21, 'IFLA_NUM_VF', u32),
  afSpec: attribute(26, 'IFLA_AF_SPEC', afSpecSet),
  group: attribute(27, 'IFLA_GROUP', u32),
  netNsFd: attribute(28, 'IFLA_NET_NS_FD', u32),
  extMask: attribute(29, 'IFLA_EXT_MASK', u32),
  promiscuity: attribute(30, 'IFLA_PROMISCUITY', u32),
  numTxQueues: attribute(31, 'IFLA_NUM_TX_QUEUES', u32),
  numRxQueues: attribute(32, 'IFLA_NUM_RX_QUEUES', u32),
  carrier: attribute(33, 'IFLA_CARRIER', u8),
  carrierChanges: attribute(35, 'IFLA_CARRIER_CHANGES', u32),
  linkNetnsid: attribute(37, 'IFLA_LINK_NETNSID', s32),
  protoDown: attribute(39, 'IFLA_PROTO_DOWN', u8),
  gsoMaxSegs: attribute(40, 'IFLA_GSO_MAX_SEGS', u32),
  gsoMaxSize: attribute(41, 'IFLA_GSO_MAX_SIZE', u32),
  newNetnsid: attribute(45, 'IFLA_NEW_NETNSID', s32),
  targetNetnsid: attribute(46, 'IFLA_TARGET_NETNSID', s32),
  carrierUpCount: attribute(47, 'IFLA_CARRIER_UP_COUNT', u32),
  carrierDownCount: attribute(48, 'IFLA_CARRIER_DOWN_COUNT', u32),
  newIfindex: attribute(49, 'IFLA_NEW_IFINDEX', u32),
  minMtu: attribute(50, 'IFLA_MIN_MTU', u32),
  maxMtu: attribute(51, 'IFLA_MAX_MTU', u32),
  altName: attribute(53, 'IFLA_ALT_IFNAME', text),
  permAddress: attribute(54, 'IFLA_PERM_ADDRESS', mac),
  parentDevName: attribute(56, 'IFLA_PARENT_DEV_NAME', text),
  parentDevBusName: attribute(57, 'IFLA_PARENT_DEV_BUS_NAME', text),
  groMaxSize: attribute(58, 'IFLA_GRO_MAX_SIZE', u32),
  tsoMaxSize: attribute(59, 'IFLA_TSO_MAX_SIZE', u32),
  tsoMaxSegs: attribute(60, 'IFLA_TSO_MAX_SEGS', u32),
  allmulti: attribute(61, 'IFLA_ALLMULTI', u32),
}

export const plainLinkSet = attributes(plainLinkTable)
export const plainLinkBody = body(ifinfomsg, plainLinkSet)
export type PlainLink = Parameters<typeof plainLinkBody.write>[1]
