import { isDeepStrictEqual } from 'node:util'
import { Refused } from '../../core/errors.ts'
import type { Underlay } from '../../core/faces.ts'
import type { PeerTable } from '../../core/peers.ts'
import type { Log } from '../../core/settle.ts'
import type { Endpoint } from '../../gossip/index.ts'
import { linkOf, watchUnderlay } from '../../kernel/index.ts'
import type { Cluster } from './index.ts'
import { Absent, type ClusterSettings } from './settings.ts'

export type FollowingParts = {
  /** How this host meets the others as things are now. Throws Absent while it can't. */
  settings: () => Promise<ClusterSettings>
  peers: PeerTable
  open: (settings: ClusterSettings) => Promise<Cluster>
  /** Hears that the tunnels of this host are others now, for the kernel. */
  moved: () => Promise<unknown>
  log: Log
}

/** Milliseconds after something moved until it is looked at: addresses come and go in pairs. */
const SETTLING = 300

/**
 * Keeps this host in the cluster while its links and addresses change: a tunnel end point that moves, an MTU that changes, an address that comes
 * late at boot, goes, or comes back. What can't be had now is told once and waited for.
 */
export class Following {
  readonly #parts: FollowingParts
  #now: ClusterSettings | undefined
  #cluster: Cluster | undefined
  #watch: { close(): void } | undefined
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> = Promise.resolve()
  #complaint = ''
  /** Where others were, by address and port, that knew this host at an address before. */
  readonly #others = new Map<string, Endpoint>()

  constructor(parts: FollowingParts) {
    this.#parts = parts
  }

  /** Undefined while this host meets nobody. */
  get cluster(): Cluster | undefined {
    return this.#cluster
  }

  /** This host's side of every tunnel, before the first look. Refused for settings that can't ever be right. */
  static async underlay(settings: () => Promise<ClusterSettings>): Promise<Underlay | undefined> {
    try {
      return underlay(await settings())
    } catch (error) {
      if (error instanceof Absent) return undefined
      throw error
    }
  }

  async start(): Promise<void> {
    this.#watch = watchUnderlay(() => this.ring())
    this.#looking = this.#look()
    await this.#looking
  }

  /** What this host meets the others by may be something else now. */
  ring(): void {
    this.#timer ??= setTimeout(() => this.#again(), SETTLING).unref()
  }

  /** Why this host meets nobody; empty when nothing is in the way. */
  get complaint(): string {
    return this.#complaint
  }

  async close(): Promise<void> {
    this.#watch?.close()
    clearTimeout(this.#timer)
    await this.#looking
    await this.#cluster?.close()
  }

  #again(): void {
    this.#timer = undefined
    this.#looking = this.#looking
      .then(() => this.#look())
      .catch(err => this.#parts.log.error({ err }, "this host's way to the others can't be followed"))
  }

  async #look(): Promise<void> {
    try {
      const settings = await this.#parts.settings()
      await this.#become(settings, underlay(settings))
      this.#complaint = ''
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      if (error.message !== this.#complaint) this.#parts.log.warn({}, `${error.message}; it is waited for`)
      this.#complaint = error.message
    }
  }

  async #become(settings: ClusterSettings, self: Underlay): Promise<void> {
    const before = this.#now
    const { peers, moved, log } = this.#parts
    if (before && isDeepStrictEqual([before, peers.self], [settings, self])) return
    this.#now = settings
    const families = ({ ipv4, ipv6 }: Underlay) => [ipv4 !== undefined, ipv6 !== undefined]
    const stays = before && isDeepStrictEqual(before.bind, settings.bind)
    const alike = peers.self && isDeepStrictEqual(families(peers.self), families(self))
    const tunnels = isDeepStrictEqual(peers.self, self)
    peers.self = self
    if (before && !tunnels)
      log.info({ from: before.vteps, to: settings.vteps, mtu: self.mtu }, 'the tunnels of this host moved')
    if (stays && alike) this.#cluster?.reconfigure(settings)
    else await this.#reopen(settings)
    if (!tunnels) await moved()
  }

  /** Gossip has another address now, or remotes are reached otherwise: all is heard anew. */
  async #reopen(settings: ClusterSettings): Promise<void> {
    const { peers, open } = this.#parts
    const before = this.#cluster
    // Not only those of the last address: had it that for a moment, it met nobody, or not all, who know it at the one before.
    for (const each of before?.hosts.met() ?? []) this.#others.set(`${each.address} ${each.port}`, each)
    await before?.close()
    peers.reset()
    this.#cluster = undefined
    this.#cluster = await open(settings)
    if (before) this.#cluster.hosts.appear([...this.#others.values()])
  }
}

/** This host's side of every tunnel. Absent when no link has one of its addresses. */
export function underlay({ vteps, vxlanPort, dnsPort }: ClusterSettings): Underlay {
  const found = vteps.map(vtep => {
    const link = linkOf(vtep)
    if (link === undefined) throw new Absent(`no link of this host has the address ${vtep} of TSNET_VTEP`)
    return link
  })
  const [ipv4] = vteps.filter(each => !each.includes(':'))
  const [ipv6] = vteps.filter(each => each.includes(':'))
  return {
    ...(ipv4 !== undefined && { ipv4 }),
    ...(ipv6 !== undefined && { ipv6 }),
    mtu: Math.min(...found.map(({ mtu }) => mtu)),
    port: vxlanPort,
    links: found.map(({ name, prefix }) => ({ name, prefix })),
    ...(dnsPort !== undefined && { names: dnsPort }),
  }
}
