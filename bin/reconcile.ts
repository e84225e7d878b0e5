import Docker from 'dockerode'
import type { Engine } from '../core/engine.ts'
import type { Log } from '../core/settle.ts'
import { type ListedPool, listed } from '../driver/listed.ts'
import type { Ipam } from '../ipam/ipam.ts'
import { explicitPool, poolId } from '../ipam/pools.ts'
import { Alarm } from './alarm.ts'

/** Milliseconds. Docker lists an endpoint only once it has our answer: younger ones may be in the making. */
const GRACE = 10_000
/** Milliseconds without a request before Docker is asked. */
const QUIET = 5_000
/** Milliseconds between two looks when nothing happens, for what went wrong while nobody asked anything. */
const PERIOD = 60_000

export type Parts = { socket: string; engine: Engine; ipam: Ipam; log: Log; now: () => number }

/**
 * Finds out what Docker forgot to tell: a DeleteEndpoint that never came after a SIGKILL, a network removed while we were
 * away, an address asked for and never used. It looks when requests have ceased for a while, and never from inside one; while they
 * don't cease, only what is older than any of them can be is looked at.
 */
export class Reconciler {
  readonly #parts: Parts
  readonly #docker: Docker
  readonly #alarm = new Alarm(() => void this.#look())
  #looked: number
  #touched = 0

  constructor(parts: Parts) {
    this.#parts = parts
    this.#docker = new Docker({ socketPath: parts.socket, timeout: 20_000 })
    this.#looked = parts.now()
  }

  /** A request began or ended: look once they have ceased, or when they haven't for a whole period. */
  touch(): void {
    this.#touched = this.#parts.now()
    const left = this.#looked + PERIOD - this.#touched
    this.#alarm.set(Math.min(GRACE + QUIET, Math.max(0, left)))
  }

  start(): void {
    this.#alarm.set(QUIET)
  }

  close(): void {
    this.#alarm.close()
  }

  async #look(): Promise<void> {
    try {
      this.#looked = this.#parts.now()
      await this.#compare()
    } catch (error) {
      this.#parts.log.debug({ err: error }, "Docker's list can't be had now")
    }
    this.#alarm.set(PERIOD)
  }

  async #compare(): Promise<void> {
    const { engine, ipam, log, now } = this.#parts
    const before = now()
    const list = await listed(this.#docker)
    const grace = before - this.#touched < GRACE ? PERIOD : GRACE
    const age = now() - before + grace
    const gone = [
      ...(await engine.collect(list, age)),
      ...(await ipam.reclaim(byPool(list.pools), age, now())),
    ]
    if (gone.length > 0) log.info({ gone }, 'dropped what Docker no longer knows')
  }
}

function byPool(pools: readonly ListedPool[]): Map<string, Set<string>> {
  return new Map(
    pools.map(({ subnet, range, addresses }) => {
      const prefixes = explicitPool(subnet, range ?? '')
      return [poolId('local', prefixes.pool, prefixes.range), addresses]
    }),
  )
}
