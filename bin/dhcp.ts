import { readFileSync } from 'node:fs'
import { Frames } from '@tsnet/netlink'
import type { Logger } from 'pino'
import { Refused } from '../core/errors.ts'
import type { Store } from '../core/faces.ts'
import type { Granted, Lease } from '../core/records.ts'
import { Agent, type Client, filter, type Happening, type Line } from '../dhcp/index.ts'
import type { Dhcp } from '../ipam/leased.ts'

/** Every EtherType (linux/if_ether.h). */
const ETH_P_ALL = 3

/** Addresses that LANs' own DHCP servers grant, kept by the records from one life of the daemon to the next. */
export class Leases implements Dhcp {
  readonly #store: Store
  readonly #log: Logger
  readonly #agent: Agent

  constructor(store: Store, log: Logger) {
    this.#store = store
    this.#log = log
    this.#agent = new Agent({
      open: line,
      happened: (link, client, happening) => this.#happened(link, client, happening),
      now: Date.now,
      random: Math.random,
    })
    for (const lease of store.records.leases.values()) this.#resume(lease)
  }

  offer(link: string) {
    return refusing(this.#agent.inquire(link, unusedMac()))
  }

  async lease(link: string, client: Client, address?: string): Promise<Granted> {
    return { ...client, ...(await refusing(this.#agent.acquire(link, client, address))) }
  }

  release(link: string, granted: Granted): void {
    this.#agent.release(link, granted, granted.address)
  }

  close(): void {
    this.#agent.close()
  }

  #resume({ pool, dhcp }: Lease): void {
    const link = this.#store.records.pools.get(pool)?.dhcp
    if (link && dhcp) this.#agent.resume(link, clientOf(dhcp), dhcp)
  }

  #happened(link: string, client: Client, happening: Happening): void {
    const { address } = happening.lease
    if (happening.type === 'cut')
      this.#log.warn(`${address}: its lease can't be renewed on ${link} just now: ${happening.error.message}`)
    else if (happening.type === 'lost') this.#log.error(sentence(link, address, happening))
    else {
      if (happening.again) this.#log.info(`${address}: the DHCP server on ${link} grants it again`)
      this.#record({ ...client, ...happening.lease })
    }
  }

  #record(dhcp: Granted): void {
    const { address, mac } = dhcp
    const leases = [...this.#store.records.leases.values()]
    const lease = leases.find(each => each.dhcp?.mac === mac && each.address === address)
    if (!lease) return
    const failed = (err: unknown) => this.#log.error({ err }, `${address}: its renewal isn't on disk`)
    this.#store.write([{ table: 'lease', id: lease.id, value: { ...lease, dhcp } }]).catch(failed)
  }
}

function sentence(
  link: string,
  address: string,
  { why, words, lease }: Extract<Happening, { type: 'lost' }>,
): string {
  const what =
    why === 'refused'
      ? `the DHCP server ${lease.server} on ${link} refuses to renew its lease${words ? ` ("${words}")` : ''}`
      : `no DHCP server on ${link} renewed its lease in time`
  return `${address}: ${what}; its container keeps the address, which is asked for again, until it is restarted`
}

const clientOf = ({ mac, hostname }: Granted): Client => ({
  mac,
  ...(hostname !== undefined && { hostname }),
})

/** Locally administered, in nobody's use. */
const unusedMac = () => {
  const bytes = Buffer.from(crypto.getRandomValues(new Uint8Array(4))).toString('hex')
  return ['02', '74', ...(bytes.match(/../g) ?? [])].join(':')
}

function line(link: string, hear: (frame: Buffer) => void): Line {
  return new Frames({ index: indexOf(link), protocol: ETH_P_ALL, filter }, hear)
}

function indexOf(link: string): number {
  try {
    return Number(readFileSync(`/sys/class/net/${link}/ifindex`, 'utf8'))
  } catch {
    throw new Refused(`dhcp=${link}: this host has no link of that name`)
  }
}

/** What a server doesn't do is the caller's to know. */
async function refusing<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw error instanceof Refused ? error : new Refused((error as Error).message)
  }
}
