import {
  delTable,
  expression,
  NetlinkError,
  NFPROTO,
  NFT_NAT,
  NFT_REG,
  NFT_SET,
  newChain,
  newElements,
  newRule,
  newSet,
  newTable,
  open,
  type Request,
  type Socket,
} from '@tsnet/netlink'
import type { VirtualService } from '../core/faces.ts'
import { encodeFields, typeId, width } from './fields.ts'
import { listing } from './listing.ts'
import { TABLE } from './names.ts'
import { hookOf } from './requests.ts'
import { compile } from './rule.ts'

/** Ours in a container's namespace; its own programs and Docker's name server have tables of other names, or iptables' chains. */
const own = { family: NFPROTO.IPV4, table: TABLE }
const table = { family: NFPROTO.IPV4, name: TABLE }
const CHAIN = 'balance'
/** nft's TYPE_INTEGER, of four bytes in the machine's order. */
const INTEGER = { keyType: 4, keyLength: 4 }

/**
 * Connections that start in a container to a virtual address go to its backends in turn: destination NAT where they start, so that the
 * backend sees who asks, and answers past every host. One transaction; connections that are open stay where they are.
 *
 * False when there is no such namespace. Throws what the kernel says.
 */
export function balance(namespace: string, services: readonly VirtualService[]): boolean {
  const all = requests(services)
  using socket = within(namespace)
  socket?.transaction(all)
  return socket !== undefined
}

function within(namespace: string): Socket | undefined {
  try {
    return open({ protocol: 'netfilter', namespace })
  } catch (error) {
    if (error instanceof NetlinkError && ['ENOENT', 'EINVAL'].includes(error.code)) return undefined
    throw error
  }
}

/** Replaces the table whole; without services there is none. */
function requests(services: readonly VirtualService[]): Request<undefined>[] {
  const some = services.filter(({ backends }) => backends.length > 0)
  const clear = [newTable(table), delTable(table)]
  if (some.length === 0) return clear
  const chain = newChain({ ...own, name: CHAIN, ...hookOf('type nat hook output priority -101') })
  return [...clear, newTable(table), chain, ...some.flatMap((service, at) => turns(service, at + 1))]
}

/** `ip daddr ADDRESS dnat to numgen inc mod COUNT map { 0 : BACKEND, … }`; the map has no name of its own. */
function turns({ address, backends }: VirtualService, id: number): Request<undefined>[] {
  const set = '__map%d'
  const dreg = NFT_REG.FIRST
  const value = { dataType: typeId(['ipv4_addr']), dataLength: width(['ipv4_addr']) }
  const flags = NFT_SET.ANONYMOUS | NFT_SET.CONSTANT | NFT_SET.MAP
  const userdata = listing(['integer'], ['ipv4_addr'])
  const elements = backends.map((backend, at) => ({
    key: { value: number(at) },
    data: { value: bytes(backend) },
  }))
  return [
    newSet({ ...own, name: set, id, flags, ...INTEGER, ...value, userdata }),
    newElements({ ...own, set, setId: id, elements }),
    newRule({
      ...own,
      chain: CHAIN,
      expressions: [
        ...compile(`ip daddr ${address}`, 'meta nfproto ipv4'),
        expression('numgen', { dreg, modulus: backends.length, type: 0 }),
        expression('lookup', { set, sreg: dreg, dreg, setId: id }),
        expression('nat', { type: NFT_NAT.DNAT, family: NFPROTO.IPV4, address: dreg }),
      ],
    }),
  ]
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(INTEGER.keyLength)
  bytes.writeUInt32LE(value)
  return bytes
}

function bytes(address: string): Buffer {
  const span = encodeFields(['ipv4_addr'], [address], false)
  if (!span) throw new Error(`${address} is no IPv4 address`)
  return Buffer.from(span.from)
}
