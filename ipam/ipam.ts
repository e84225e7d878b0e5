import { Refused } from '../core/errors.ts'
import type { Change, Lease, Pool } from '../core/records.ts'
import { Addresses } from './addresses.ts'
import { dropLease, leaseId, startBehindNewest } from './held.ts'
import { givingBack, lease, offerFor, ownerOf } from './leased.ts'
import { choosePool, explicitPool, poolId, type Space } from './pools.ts'
import { explicitAddress, freeIn, nextAddress, type Portion, partsOf } from './portion.ts'
import { formatAddress, formatPrefix, overlaps, type Prefix, parseAddress, parsePrefix } from './prefix.ts'
import { forgotten, type Grant, type Held, inUse } from './reclaim.ts'
import type { AddressRequest, IpamDeps, PoolAnswer, PoolRequest, Taken } from './requests.ts'

/** Milliseconds within which dockerd has replayed what it knows. */
const replayTime = 60_000

/**
 * The address book. Docker's local networks and Swarm's leader have one each, `local` and `global`: a manager that also runs
 * tasks asks both for the same subnet and addresses.
 *
 * An answer is given when the record is durable. What is asked for is taken at once, in memory, so that requests at the same
 * time never get the same address; when the write fails it is given back.
 *
 * **Claim or confirm.** After dockerd registered (it asks for our capabilities) it replays the pools and addresses it knows
 * of, in words that a new request for a taken one would use too. So for a minute a known pool may be asked for once, and in a
 * pool that was replayed so may each taken address. Later, or twice, is a conflict: a manager's Swarm registers too and
 * replays nothing of the local space, and to grant a local network's pool to a second one means to lose both when the second
 * is taken back. A replay that is refused costs nothing: dockerd logs it, and the book still has the address.
 */
export class Ipam {
  readonly #deps: IpamDeps
  readonly #pools = new Map<string, Held>()
  #registration = 0
  #replayEnds = 0

  constructor(deps: IpamDeps) {
    this.#deps = deps
    const { pools, leases } = deps.store.records
    for (const record of pools.values()) this.#hold(record)
    for (const lease of leases.values()) this.#load(lease)
    for (const { addresses } of this.#pools.values()) startBehindNewest(addresses)
  }

  /** Addresses may be leased from DHCP servers, for which Docker has to name MACs. */
  get leases(): boolean {
    return this.#deps.dhcp !== undefined
  }

  /** dockerd has (re)connected: what it replays from now on is a confirmation. */
  registered(): void {
    this.#registration++
    this.#replayEnds = this.#deps.clock() + replayTime
  }

  /**
   * A pool, the one asked for or one of the default ranges, always another one as long as none was released.
   * @throws Refused when it overlaps a pool of the same space, when the request makes no sense or when no default pool is left.
   */
  async requestPool(request: PoolRequest): Promise<PoolAnswer> {
    const { pool, range } = request.pool
      ? explicitPool(request.pool, request.range)
      : await this.#defaultPool(request)
    const id = poolId(request.space, pool, range)
    const known = this.#pools.get(id)
    const answer = { id, pool: formatPrefix(pool) }
    if (known && this.#replays(known)) {
      known.registration = this.#registration
      return answer
    }
    this.#refuseOverlap(request.space, pool)
    const leased = pool.family === 4 && request.dhcp ? { dhcp: request.dhcp } : {}
    const offer = leased.dhcp ? await offerFor(this.#deps.dhcp, leased.dhcp, request, pool) : {}
    this.#refuseOverlap(request.space, pool)
    const record = {
      id,
      space: request.space,
      pool: answer.pool,
      ...(range ? { range: formatPrefix(range) } : {}),
      ...leased,
    }
    const held = this.#hold(record)
    await this.#write([{ table: 'pool', id, value: record }], () => {
      if (this.#pools.get(id) === held) this.#pools.delete(id)
    })
    return { ...answer, ...offer }
  }

  /** The pool's id, asked for any number of times. @throws Refused as requestPool does. */
  async openPool(request: PoolRequest): Promise<string> {
    const known = this.findPool(request.space, request.pool)
    return known ?? (await this.requestPool(request)).id
  }

  /** Id of the pool of a space that has this prefix. */
  findPool(space: Space, pool: string): string | undefined {
    for (const { record } of this.#pools.values())
      if (record.space === space && record.pool === pool) return record.id
    return undefined
  }

  /** Gives back a pool and all its addresses: dockerd's rollback doesn't name them. Unknown pools are fine. */
  async releasePool(id: string): Promise<void> {
    const held = this.#pools.get(id)
    if (!held) return
    this.#pools.delete(id)
    const leases = [...held.addresses.grants()].map(([value]) => leaseId(held, value))
    const giveBack = givingBack(this.#deps.dhcp, held.record, this.#recorded(leases))
    await this.#write([...leases.map(dropLease), { table: 'pool', id }], () => {
      if (!this.#pools.has(id)) this.#pools.set(id, held)
    })
    giveBack()
  }

  /**
   * An address with the pool's prefix length: the one asked for, from anywhere in the pool (`--aux-address`, `--ip`), or the next
   * one of its range. Of a pool that other hosts share, both only from this host's blocks; the gateway is the same on all of them.
   * @throws Refused when it is taken, not a host's, outside the pool or this host's blocks, or when none is free.
   */
  async requestAddress(request: AddressRequest): Promise<string> {
    const { address, write } = await this.grantAddress(request)
    await write()
    return address
  }

  /** The same, answering as soon as the address is taken. Who uses it calls `write`, who doesn't releaseAddress. */
  async grantAddress(request: AddressRequest): Promise<Taken> {
    const { pool, address, gateway } = request
    const leased = this.#held(pool).record.dhcp
    if (leased && !gateway && (request.mac || !address)) return this.#lease(this.#held(pool), leased, request)
    const portion = gateway ? undefined : this.#deps.portion?.(this.#held(pool).record.pool)
    // Nothing is awaited between finding a free address and taking it.
    while (portion && !address && this.#isUsedUp(pool, portion)) await portion.more()
    const held = this.#held(pool)
    const value = address ? explicitAddress(held, address, portion) : nextAddress(held, portion)
    const text = formatAddress(held.prefix.family, value)
    const answer = `${text}/${held.prefix.length}`
    const before = held.addresses.grant(value)
    if (before && !(before.registration < held.registration && this.#replays(before))) {
      throw new Refused(`${text} of ${held.record.pool} is taken`)
    }
    const grant = before ?? { gateway, created: this.#deps.clock() }
    held.addresses.take(value, { ...grant, registration: this.#registration })
    if (before) return { address: answer, write: async () => {} }
    const id = leaseId(held, value)
    const lease = { id, pool, address: text, ...grant }
    portion?.left(freeIn(held, portion))
    const write = () => this.#write([{ table: 'lease', id, value: lease }], () => held.addresses.free(value))
    return { address: answer, write }
  }

  /** What the LAN's own server gives to a MAC. A container that comes back with its MAC gets what its record says. */
  async #lease(held: Held, link: string, request: AddressRequest): Promise<Taken> {
    const { leases } = this.#deps.store.records
    const granted = await lease(this.#deps.dhcp, link, request, held.prefix)
    const { address } = granted
    const { value } = parseAddress(address) as { value: bigint }
    const id = leaseId(held, value)
    const before = held.addresses.grant(value)
    if (before && ownerOf(leases.get(id)) !== granted.mac) {
      this.#deps.dhcp?.release(link, granted)
      throw new Refused(`the DHCP server on ${link} gives ${address}, which is taken here`)
    }
    const grant = { gateway: false, created: this.#deps.clock(), registration: this.#registration }
    held.addresses.take(value, grant)
    const { registration: _, ...kept } = grant
    const record = { id, pool: held.record.id, address, ...kept, dhcp: granted }
    const write = () =>
      this.#write([{ table: 'lease', id, value: record }], () => {
        held.addresses.free(value)
        this.#deps.dhcp?.release(link, granted)
      })
    return { address: `${address}/${held.prefix.length}`, write }
  }

  /** Gives back an address; one that is free, or of an unknown pool, is fine. */
  async releaseAddress(pool: string, address: string): Promise<void> {
    const held = this.#pools.get(pool)
    const parsed = parseAddress(address)
    if (!held || parsed?.family !== held.prefix.family) return
    await this.#release(held, [parsed.value])
  }

  /**
   * Takes back what dockerd has forgotten: it died between asking and recording, or an IPv6 request failed after the IPv4 one, or
   * a call ran out of time. Not Swarm's space: Docker's API doesn't list what its leader holds.
   *
   * @param used by pool id, the addresses without prefix length that Docker knows of. Pools that are missing here are unknown to
   * Docker. What our own network, gateway, `--aux-address` and endpoint records name is never taken back.
   * @param olderThan milliseconds: younger pools and leases are left alone, for their network may be being made.
   * @returns the ids that were deleted.
   */
  async reclaim(
    used: ReadonlyMap<string, ReadonlySet<string>>,
    olderThan: number,
    now: number,
    space: Space = 'local',
  ): Promise<string[]> {
    const known = inUse(this.#deps.store.records)
    const all = [...this.#pools.values()].filter(({ record }) => record.space === space)
    const found = all.map(held => ({
      held,
      ...forgotten(held, used.get(held.record.id), known, now - olderThan),
    }))
    // Nothing is awaited between judging and freeing: an address could be somebody else's by then.
    const writes = found.map(({ held, pool, addresses }) =>
      pool ? this.releasePool(held.record.id) : this.#release(held, addresses),
    )
    await Promise.all(writes)
    return found.flatMap(({ held, pool, addresses }) => [
      ...(pool ? [held.record.id] : []),
      ...addresses.map(value => leaseId(held, value)),
    ])
  }

  async #defaultPool({ space, range, v6 }: PoolRequest): Promise<{ pool: Prefix; range?: Prefix }> {
    if (range) throw new Refused(`ip-range ${range} needs a subnet that it is in`)
    const routes = (await this.#deps.routes()).map(route => parsePrefix(route, 'route'))
    const given = [...this.#pools.values()].map(held => held.prefix)
    return { pool: choosePool(space, v6 ? 6 : 4, this.#deps.seed, [...given, ...routes]) }
  }

  #refuseOverlap(space: Space, pool: Prefix): void {
    for (const { record, prefix } of this.#pools.values()) {
      if (record.space === space && overlaps(prefix, pool)) {
        throw new Refused(`subnet ${formatPrefix(pool)} overlaps ${record.pool} of another network`)
      }
    }
  }

  #isUsedUp(pool: string, portion: Portion): boolean {
    const held = this.#held(pool)
    return held.addresses.next(partsOf(held, portion)) === undefined
  }

  #held(id: string): Held {
    const held = this.#pools.get(id)
    if (!held) throw new Refused(`pool "${id}" is unknown: create the network anew`)
    return held
  }

  #hold(record: Pool): Held {
    const prefix = parsePrefix(record.pool, 'pool')
    const range = record.range ? parsePrefix(record.range, 'range') : prefix
    const addresses = new Addresses<Grant>(prefix, range)
    const since = this.#deps.clock()
    const held = { record, prefix, addresses, registration: this.#registration, since }
    this.#pools.set(record.id, held)
    return held
  }

  #load({ id, pool, address, gateway, created }: Lease): void {
    const parsed = parseAddress(address)
    if (!parsed) throw new TypeError(`lease ${id} has no address`)
    this.#pools
      .get(pool)
      ?.addresses.take(parsed.value, { gateway, created, registration: this.#registration })
  }

  #recorded(ids: readonly string[]): Lease[] {
    return ids.flatMap(id => this.#deps.store.records.leases.get(id) ?? [])
  }

  #replays({ registration }: { registration: number }): boolean {
    return registration < this.#registration && this.#deps.clock() <= this.#replayEnds
  }

  /** Free at once, for it is given last; were the write to fail, it is taken again unless somebody else has it. */
  async #release(held: Held, values: readonly bigint[]): Promise<void> {
    const { addresses } = held
    const taken = values.flatMap(value => {
      const grant = addresses.grant(value)
      return grant ? [{ value, grant }] : []
    })
    if (taken.length === 0) return
    for (const { value } of taken) addresses.free(value)
    const leases = taken.map(({ value }) => leaseId(held, value))
    const giveBack = givingBack(this.#deps.dhcp, held.record, this.#recorded(leases))
    await this.#write(leases.map(dropLease), () => {
      for (const { value, grant } of taken) addresses.grant(value) ?? addresses.take(value, grant)
    })
    giveBack()
  }

  async #write(changes: readonly Change[], undo: () => void): Promise<void> {
    try {
      await this.#deps.store.write(changes)
    } catch (error) {
      undo()
      throw error
    }
  }
}
