import { host } from '../core/addresses.ts'
import type { Engine } from '../core/engine.ts'
import type { Change, Network } from '../core/records.ts'
import type { Log } from '../core/settle.ts'
import { Turns } from '../core/turns.ts'
import type { Ipam } from '../ipam/ipam.ts'
import type { Portion } from '../ipam/portion.ts'
import { includes, parseAddress } from '../ipam/prefix.ts'

export type OwnAddressesParts = {
  engine: Pick<Engine, 'network' | 'networks' | 'setOwn'>
  ipam: Pick<Ipam, 'findPool' | 'requestAddress' | 'releaseAddress'>
  /** What of a pool is this host's to give; undefined while it shares it with nobody. */
  portion: (pool: string) => Portion | undefined
  /** Whether hosts are the way to their containers in networks of a mode. */
  isWay: (mode: string) => boolean
  log: Log
}

/** Milliseconds between two looks. */
const PERIOD = 30_000

/**
 * What this host itself is called in each network where hosts are the way to their containers: an address of its own blocks, so that an answer to
 * it takes the way that the host's packets came by. To an address of the underlay it would not: it would leave the other host outside of
 * the tunnel, under a container's address, which clouds and strict reverse paths (RFC 3704) drop.
 */
export class OwnAddresses {
  readonly #parts: OwnAddressesParts
  readonly #turns = new Turns()
  readonly #complaints = new Map<string, string>()
  #timer: NodeJS.Timeout | undefined

  constructor(parts: OwnAddressesParts) {
    this.#parts = parts
  }

  /** From now on; not before others have looked for what was given in vain. */
  start(): void {
    this.#timer = setInterval(() => this.ring(), PERIOD).unref()
    this.ring()
  }

  /** Records were changed. */
  tell(changes: readonly Change[]): void {
    if (changes.some(({ table, value }) => table === 'network' && value !== undefined)) this.ring()
  }

  /** Networks, or this host's part of their addresses, may be others now. */
  ring(): void {
    if (this.#timer === undefined) return
    for (const { id, mode } of this.#parts.engine.networks())
      if (this.#parts.isWay(mode)) this.#turns.take(id, () => this.#look(id))
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #look(id: string): Promise<void> {
    try {
      for (const family of ['ipv4', 'ipv6'] as const) await this.#have(id, family)
      this.#complaints.delete(id)
    } catch (error) {
      this.#complain(id, (error as Error).message)
    }
  }

  async #have(id: string, family: 'ipv4' | 'ipv6'): Promise<void> {
    const { engine, ipam } = this.#parts
    const network = engine.network(id)
    const pool = network && this.#lacking(network, family)
    if (!pool || this.#timer === undefined) return
    const before = network.own?.[family]
    const own = host(await ipam.requestAddress({ pool, address: '', gateway: false }))
    const isTaken = await engine.setOwn(id, { [family]: own }).catch(async error => {
      await ipam.releaseAddress(pool, own)
      throw error
    })
    const spare = isTaken ? before : own
    if (spare !== undefined) await ipam.releaseAddress(pool, spare)
  }

  /** Id of the pool that an address is wanted from. One that is this host's no more is used until there are others: nobody else may have it yet. */
  #lacking(network: Network, family: 'ipv4' | 'ipv6'): string | undefined {
    const { ipam, portion } = this.#parts
    const { own, conflist } = network
    const [subnet] = network[family]
    const blocks = subnet && portion(subnet.pool)?.blocks()
    if (!blocks) return undefined
    const address = parseAddress(own?.[family] ?? '')
    if (address && (blocks.length === 0 || blocks.some(each => includes(each, address)))) return undefined
    return ipam.findPool(conflist === undefined ? 'local' : 'cni', subnet.pool)
  }

  #complain(id: string, message: string): void {
    if (this.#complaints.get(id) === message) return
    this.#complaints.set(id, message)
    this.#parts.log.warn({ network: id }, `this host has no address of its own in a network: ${message}`)
  }
}
