import { setTimeout as pause } from 'node:timers/promises'
import { goesByPodCidr } from '../../cni/networks.ts'
import { sharedKey } from '../../core/elsewhere.ts'
import { Refused } from '../../core/errors.ts'
import type { Store } from '../../core/faces.ts'
import type { Network } from '../../core/records.ts'
import type { Log } from '../../core/settle.ts'
import type { Portion } from '../../ipam/portion.ts'
import { contains, formatPrefix, type Prefix, parsePrefix } from '../../ipam/prefix.ts'
import { Memory } from '../cluster/memory.ts'
import type { Divided } from '../cluster/prefixes.ts'

export type PodCidrsParts = {
  /** Name of this host's Node; empty where there is none. */
  node: string
  store: Store
  /** Follows the Node, as `watchNode` does. */
  watch: (heard: (podCidrs: string[]) => void, signal: AbortSignal) => Promise<void>
  /** Milliseconds that a request for an address waits for a podCIDR. */
  patience: number
  /** Milliseconds between two tries to reach the API server. */
  again: number
  /** Hears that more, or less, is known. */
  told?: () => void
  log: Log
}

/**
 * What of the pods' network is this node's by the word of Kubernetes: `spec.podCIDRs` of its Node. The API server is asked from the first
 * network on that says so; the last answer is kept on disk, for pods that start while it is away.
 */
export class PodCidrs {
  readonly #parts: PodCidrsParts
  readonly #memory: Memory
  readonly #id: string
  readonly #end = new AbortController()
  #known: readonly string[]
  #following: Promise<void> | undefined
  /** Resolves when more is known. */
  #news = Promise.withResolvers<void>()
  #trouble: string | undefined

  constructor(parts: PodCidrsParts) {
    this.#parts = parts
    this.#memory = new Memory(parts.store)
    this.#id = `podCIDRs ${parts.node}`
    this.#known = this.#memory.text(this.#id)?.split(' ') ?? []
  }

  /** What of a pool is this host's to give; undefined when its network doesn't go by podCIDRs. */
  portion(pool: string): Portion | undefined {
    if (!this.pools().some(each => each.pool === pool)) return undefined
    const whole = parsePrefix(pool, 'pool')
    return {
      blocks: () => this.#within(whole),
      left: () => undefined,
      more: () => this.#more(whole),
    }
  }

  /** Pools of this host's networks that go by podCIDRs, and what of each is this host's. Whoever has such a network follows its Node. */
  pools(): Divided[] {
    const networks = [...this.#parts.store.records.networks.values()].filter(goesByPodCidr)
    if (networks.length > 0 && this.#parts.node !== '') this.#following ??= this.#follow()
    return networks.flatMap(network => poolsOf(network).map(pool => this.#divided(sharedKey(network), pool)))
  }

  /** Whoever waits is told no. */
  close(): void {
    this.#end.abort()
  }

  /** In the order that Kubernetes has them: it sets aside one of a family. */
  #within(whole: Prefix): Prefix[] {
    return this.#known.map(each => parsePrefix(each, 'podCIDR')).filter(each => contains(whole, each))
  }

  #divided(network: string, pool: string): Divided {
    const [prefix] = this.#within(parsePrefix(pool, 'pool'))
    return { network, pool, ...(prefix && { prefix: formatPrefix(prefix) }) }
  }

  async #follow(): Promise<void> {
    const { watch, again } = this.#parts
    const { signal } = this.#end
    while (!signal.aborted) {
      await watch(podCidrs => this.#hear(podCidrs), signal).catch((error: Error) => {
        this.#trouble = error.message
      })
      await pause(again, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }

  /** A node that lost its Node must not go on with what another may be given. */
  #hear(podCidrs: readonly string[]): void {
    this.#trouble = undefined
    if (podCidrs.join() === this.#known.join()) return
    const { node, log } = this.#parts
    log.info({ node, podCidrs }, 'podCIDR of this node')
    this.#known = podCidrs
    this.#memory
      .set(this.#id, podCidrs.join(' ') || undefined)
      .catch(err => log.error({ err }, 'the podCIDR was not kept'))
    this.#parts.told?.()
    this.#news.resolve()
    this.#news = Promise.withResolvers()
  }

  async #more(whole: Prefix): Promise<void> {
    const { node, patience } = this.#parts
    if (node === '') throw new Refused("TSNET_NODE is not set: podCIDR needs the name of this host's Node")
    const { signal } = this.#end
    const before = this.#known.join()
    if (before === '')
      await Promise.race([this.#news.promise, pause(patience, undefined, { signal }).catch(() => undefined)])
    if (this.#known.join() === before) throw new Refused(this.#why(whole, before))
  }

  #why(whole: Prefix, known: string): string {
    const { node } = this.#parts
    const pool = formatPrefix(whole)
    if (known.split(',').some(each => each && contains(whole, parsePrefix(each, 'podCIDR'))))
      return `no address of podCIDR ${known} of node ${node} is free`
    if (known !== '')
      return `podCIDR ${known} of node ${node} is not inside subnet ${pool}, which has to be what kube-controller-manager has as --cluster-cidr`
    if (this.#trouble !== undefined) return `the podCIDR of node ${node} is not known: ${this.#trouble}`
    return `node ${node} has no podCIDR: give kube-controller-manager --allocate-node-cidrs=true and --cluster-cidr=${pool}`
  }
}

const poolsOf = ({ ipv4, ipv6 }: Network) => [...ipv4, ...ipv6].map(({ pool }) => pool)
