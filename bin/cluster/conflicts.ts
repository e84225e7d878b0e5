import type { PeerTable } from '../../core/peers.ts'
import type { Log } from '../../core/settle.ts'
import { addressIn, type Conflict, type Output, type Row, type Table } from '../../vxlan-fdb/index.ts'
import { macText, toText } from './addresses.ts'
import { type Moves, takeOver } from './others.ts'

/** An address or a MAC that several hosts say is theirs: one keeps it, what the others say counts for nothing meanwhile. */
export type Contest = { network: string; address: string; keeper: string; others: string[]; ids: string[] }

export function contests(table: Table, nameOf: (host: string) => string): Contest[] {
  return [...table.conflicts.keys()].flatMap(claim => {
    const conflict = table.claims.conflict(claim)
    return conflict && !isTold(table, claim) ? contestOf(conflict, nameOf) : []
  })
}

/** A MAC that is made of an address goes with it: one sentence is enough. */
function isTold(table: Table, claim: string): boolean {
  const [network = '', words = ''] = claim.split('\0')
  const address = words.startsWith('mac ') ? addressIn(claim) : undefined
  return address !== undefined && table.conflicts.has(`${network}\0ip ${address.toString('hex')}`)
}

function contestOf({ network, claim, winner, losers }: Conflict, nameOf: (host: string) => string): Contest {
  return {
    network,
    address: addressText(claim),
    keeper: nameOf(winner.origin),
    others: [...new Set(losers.map(({ origin }) => nameOf(origin)))],
    ids: losers.map(({ key }) => key),
  }
}

/** `ip 0a5a0005`, `mac 02420a5a0005` */
function addressText(claim: string): string {
  const [kind, hex = ''] = claim.split(' ')
  const bytes = Buffer.from(hex, 'hex')
  return kind === 'mac' ? macText(bytes) : toText(bytes)
}

/** Tells the operator, and answers what moves in the kernel: the one that keeps it may be another now. */
export function contested(
  { claim, conflict }: Extract<Output, { type: 'conflict' }>,
  table: Table,
  peers: PeerTable,
  nameOf: (host: string) => string,
  log: Log,
): Moves {
  const [network = ''] = claim.split('\0')
  const address = addressText(claim.slice(network.length + 1))
  if (!conflict) {
    log.info({ network, address }, `only one host says any more that ${address} is its own`)
    return { places: [], members: [] }
  }
  const { keeper, others } = contestOf(conflict, nameOf)
  const hosts = [conflict.winner, ...conflict.losers].map(({ origin }) => origin)
  if (!isTold(table, claim))
    log.error(
      { network, address, hosts },
      `${[keeper, ...others].join(' and ')} say that ${address} is their own: ${keeper} keeps it, and the others' claim counts for nothing`,
    )
  return takeOver(table, peers, [conflict.winner, ...conflict.losers].map(unchanged))
}

const unchanged = ({ network, kind, key, origin, value }: Row) => ({
  network,
  kind,
  key,
  origin,
  value,
  before: value,
})

/** How good a claim is: the owner of the block that an address lies in goes before everybody else. */
export const ranking =
  (owns: (network: string, address: Buffer, host: string) => boolean) =>
  ({ network, origin }: Row, claim: string): number => {
    const address = addressIn(claim)
    return address && owns(network, address, origin) ? 1 : 0
  }
