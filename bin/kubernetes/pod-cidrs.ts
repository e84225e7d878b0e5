import { setTimeout as pause } from 'node:timers/promises'
import { goesByPodCidr } from '../../cni/networks.ts'
import { Refused } from '../../core/errors.ts'
import type { Store } from '../../core/faces.ts'
import type { Log } from '../../core/settle.ts'
import type { Portion } from '../../ipam/portion.ts'
import { contains, formatPrefix, type Prefix, parsePrefix } from '../../ipam/prefix.ts'
import { Memory } from '../cluster/memory.ts'

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
    if (!this.#isAsked(pool)) return undefined
    if (this.#parts.node !== '') this.#following ??= this.#follow()
    const whole = parsePrefix(pool, 'pool')
    const all = () => this.#known.map(each => parsePrefix(each, 'podCIDR'))
    return {
      blocks: () => all().filter(each => contains(whole, each)),
      left: () => undefined,
      more: () => this.#more(whole),
    }
  }

  /** Whoever waits is told no. */
  close(): void {
    this.#end.abort()
  }

  #isAsked(pool: string): boolean {
    for (const network of this.#parts.store.records.networks.values())
      if (goesByPodCidr(network) && [...network.ipv4, ...network.ipv6].some(each => each.pool === pool))
        return true
    return false
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
