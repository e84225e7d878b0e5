import type { Kernel, Store, VirtualService } from '../../core/faces.ts'
import type { Change } from '../../core/records.ts'
import type { Log } from '../../core/settle.ts'
import type { ServicesOf } from './docker.ts'

/** Milliseconds after something moved: what moves together is looked at together. */
const SOON = 50
/** Milliseconds between two looks, for Docker tells only who asks which tasks a service has. */
const PERIOD = 1_000

export type ServiceParts = {
  services: ServicesOf
  store: Store
  /** Whether networks of a mode are on several hosts. */
  spans: (mode: string) => boolean
  kernel: Pick<Kernel, 'balance'>
  log: Log
}

/**
 * Virtual addresses of Swarm's services. Docker gives each service one and answers its name with it, but makes the balancer behind
 * it only on its own overlay; here every container that runs on this host has one in its own namespace.
 */
export class VirtualServices {
  readonly #parts: ServiceParts
  /** By namespace, what was said to the kernel. */
  readonly #said = new Map<string, string>()
  /** What a namespace has of which nothing was said: before the first look, whatever the last daemon left there. */
  #before: string | undefined
  #timer: NodeJS.Timeout | undefined
  #looking = false
  #again = false
  #closed = false
  #complaint = ''

  constructor(parts: ServiceParts) {
    this.#parts = parts
  }

  /** Records changed: a container came, or is gone. */
  tell(changes: readonly Change[]): void {
    if (changes.some(({ table }) => table === 'endpoint')) this.soon()
  }

  /** Something moved, here or elsewhere. */
  soon(): void {
    if (this.#looking) this.#again = true
    else this.#after(SOON)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  #after(wait: number): void {
    clearTimeout(this.#timer)
    if (!this.#closed) this.#timer = setTimeout(() => void this.#look(), wait).unref()
  }

  async #look(): Promise<void> {
    this.#looking = true
    this.#again = false
    const networks = this.#containers()
    await this.#compare(networks).catch(this.#complain)
    this.#looking = false
    if (this.#again) this.#after(SOON)
    else if (networks.size > 0) this.#after(PERIOD)
  }

  /** The same once. */
  #complain = ({ message }: Error): void => {
    if (message !== this.#complaint)
      this.#parts.log.warn({}, `virtual addresses of services may be out of date: ${message}`)
    this.#complaint = message
  }

  /** Namespaces of the containers that run here, by network. */
  #containers(): Map<string, Set<string>> {
    const { store, spans } = this.#parts
    const { networks, endpoints } = store.records
    const found = new Map<string, Set<string>>()
    for (const { network, sandbox } of endpoints.values()) {
      if (sandbox === undefined || !spans(networks.get(network)?.mode ?? '')) continue
      found.set(network, (found.get(network) ?? new Set()).add(sandbox))
    }
    return found
  }

  async #compare(networks: ReadonlyMap<string, ReadonlySet<string>>): Promise<void> {
    const wanted = new Map<string, VirtualService[]>()
    for (const [network, sandboxes] of networks) {
      const services = await this.#parts.services(network)
      for (const sandbox of sandboxes) wanted.set(sandbox, [...(wanted.get(sandbox) ?? []), ...services])
    }
    for (const sandbox of this.#said.keys()) if (!wanted.has(sandbox)) this.#said.delete(sandbox)
    for (const [sandbox, services] of wanted) await this.#say(sandbox, services)
    this.#before = '[]'
  }

  async #say(sandbox: string, services: readonly VirtualService[]): Promise<void> {
    const text = JSON.stringify(services)
    if ((this.#said.get(sandbox) ?? this.#before) === text) return
    this.#said.delete(sandbox)
    await this.#parts.kernel
      .balance(sandbox, services)
      .then(() => this.#said.set(sandbox, text), this.#complain)
  }
}
