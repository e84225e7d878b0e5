import type { Input, Outputs, Settings } from '../../vxlan-fdb/index.ts'
import {
  ed25519,
  makeKey,
  originOf,
  selfCertified,
  statedRank,
  step,
  Table,
  usual,
} from '../../vxlan-fdb/index.ts'

/** A member with a real key, stepped by hand. */
export class Peer {
  readonly signer = ed25519(makeKey())
  readonly origin: string
  readonly table: Table
  now = 1000

  constructor(settings: Partial<Settings> = {}) {
    this.origin = settings.origin ?? originOf(this.signer.publicKey)
    const { origin, signer } = this
    this.table = new Table({
      ...usual,
      origin,
      signer,
      rank: statedRank,
      certifies: selfCertified,
      ...settings,
    })
  }

  do(input: Input): Outputs {
    return step(this.table, input, this.now, () => 0.5)
  }

  hear(from: Peer, bytes: Buffer, via: 'direct' | 'broadcast' | 'stream' = 'direct'): Outputs {
    return this.do({ type: 'received', from: from.origin, via, bytes })
  }

  meets(...others: Peer[]): void {
    for (const other of others) this.do({ type: 'member', id: other.origin, alive: true })
  }
}

/** Carries everything between peers until nobody has anything to say. What the world would be told otherwise is returned. */
export function talk(peers: readonly Peer[], first: [Peer, Outputs][]): Outputs {
  const told: Outputs = []
  const queue = first.flatMap(([from, outputs]) => outputs.map(output => ({ from, output })))
  for (let next = queue.shift(); next; next = queue.shift()) {
    const { from, output } = next
    if (output.type === 'broadcast') continue
    if (output.type !== 'direct' && output.type !== 'stream') told.push(output)
    else {
      const to = peers.find(({ origin }) => origin === output.to)
      if (to)
        queue.push(...to.hear(from, output.bytes, output.type).map(answer => ({ from: to, output: answer })))
    }
  }
  return told
}

/** Time passes for all. */
export function pass(peers: readonly Peer[], milliseconds: number): Outputs {
  for (const peer of peers) peer.now += milliseconds
  return talk(
    peers,
    peers.map(peer => [peer, peer.do({ type: 'tick' })]),
  )
}
