import type { SetRow } from '../core/rows.ts'

/**
 * What a set tells of itself, which is by what nft lists it: type, length and value of each thing (enum nftnl_udata_set_types; nftables'
 * src/netlink.c). As little as will do: an nft dies of what newer ones say there of sets with a field (1.0.6 of 1.1.3).
 */
const KEY_BYTEORDER = 0
const DATA_BYTEORDER = 1
const KEY_TYPEOF = 3

/** enum byteorder: of fields that are joined, or verdicts, there is none. */
const [NONE, MACHINE, NETWORK] = [0, 1, 2]

const told = (type: number, ...values: Buffer[]) => {
  const value = Buffer.concat(values)
  return Buffer.concat([Buffer.from([type, value.length]), value])
}

function number(type: number, value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return told(type, bytes)
}

/** `types` are nft's words for the fields. */
export function listing(key: readonly string[], data?: SetRow['value']): Buffer {
  return Buffer.concat([
    number(KEY_BYTEORDER, orderOf(key)),
    ...(data ? [number(DATA_BYTEORDER, data === 'verdict' ? NONE : orderOf(data))] : []),
    ...(key.join() === 'inet_service,vni' ? [vnis] : []),
  ])
}

function orderOf([type = '', ...more]: readonly string[]): number {
  if (more.length > 0) return NONE
  return ['ifname', 'integer'].includes(type) ? MACHINE : NETWORK
}

/** enum expr_types of nftables. */
const [PAYLOAD, CONCAT] = [7, 13]
const expression = (kind: number, ...more: Buffer[]) => [number(0, kind), told(1, ...more)]
/** Udp, and its destination port; no protocol, and where the bytes are from the transport's header on, in bits. */
const udpPort = [number(0, 6), number(1, 2)]
const place = [number(0, 0), number(1, 0), number(2, 3), number(3, 96), number(4, 24)]

/** `typeof udp dport . @th,96,24`: a field of three bytes has no name of its own, and nft doesn't take back a list that says `integer`. */
const vnis = told(
  KEY_TYPEOF,
  ...expression(
    CONCAT,
    told(0, ...expression(PAYLOAD, ...udpPort)),
    told(1, ...expression(PAYLOAD, ...place)),
  ),
)
