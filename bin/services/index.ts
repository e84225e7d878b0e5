import type { Kernel, Store, VirtualService } from '../../core/faces.ts'
import type { Change } from '../../core/records.ts'
import type { Log } from '../../core/settle.ts'
import { Alarm } from '../alarm.ts'
import type { ServicesOf } from './docker.ts'

/** Milliseconds after something moved: what moves together is looked at together, but a new container's program begins soon. */
const SOON = 10
/** Milliseconds between two looks, for Docker tells only who asks which tasks a service has. */
const PERIOD = 1_000
/** What the kernel was told of a namespace and may not have done. */
const UNKNOWN = ''
/**
 * How often the namespace of a container is looked for SOON: Docker 20.10 makes it after Join, when the program is about to start
 * (libnetwork's setKey, a hook of runc). For some seconds; then it is one of a container that is gone.
 */
const YOUNG = 100

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
  /** How often a namespace that is to be told wasn't there. */
  readonly #missed = new Map<string, number>()
  /** What a namespace has of which nothing was said: before the first look, whatever the last daemon left there. */
  #before: string | undefined
  readonly #alarm = new Alarm(() => void this.#look())
  #looking = false
  #again = false
  #troubles: readonly string[] = []

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
    else this.#alarm.set(SOON)
  }

  close(): void {
    this.#alarm.close()
  }

  async #look(): Promise<void> {
    this.#looking = true
    this.#again = false
    const containers = this.#containers()
    const troubles: string[] = []
    const told = await this.#ask(byNetwork(containers), troubles)
    for (const known of [this.#said, this.#missed])
      for (const sandbox of known.keys()) if (!containers.has(sandbox)) known.delete(sandbox)
    // What isn't known of one network takes nothing away in those who are on it.
    for (const [sandbox, networks] of containers)
      if (networks.every(each => told.has(each)))
        await this.#say(
          sandbox,
          networks.flatMap(each => told.get(each) ?? []),
          troubles,
        )
    if (troubles.length === 0) this.#before = '[]'
    this.#report(troubles)
    this.#looking = false
    const isYoung = [...this.#missed.values()].some(times => times < YOUNG)
    // Who has just failed is left in peace.
    if (this.#again || (isYoung && troubles.length === 0)) this.#alarm.set(SOON)
    else if (containers.size > 0) this.#alarm.set(PERIOD)
  }

  /** The same in a row once. */
  #report(troubles: readonly string[]): void {
    for (const each of new Set(troubles))
      if (!this.#troubles.includes(each))
        this.#parts.log.warn({}, `virtual addresses of services may be out of date: ${each}`)
    this.#troubles = troubles
  }

  /** The networks of each container that runs here, by its namespace. */
  #containers(): Map<string, string[]> {
    const { store, spans } = this.#parts
    const { networks, endpoints } = store.records
    const found = new Map<string, string[]>()
    for (const { network, sandbox } of endpoints.values())
      if (sandbox !== undefined && spans(networks.get(network)?.mode ?? ''))
        found.set(sandbox, [...(found.get(sandbox) ?? []), network])
    return found
  }

  async #ask(
    networks: ReadonlyMap<string, readonly string[]>,
    troubles: string[],
  ): Promise<Map<string, VirtualService[]>> {
    const told = new Map<string, VirtualService[]>()
    for (const [network, sandboxes] of networks)
      await this.#parts.services(network, sandboxes).then(
        services => told.set(network, services),
        ({ message }: Error) => troubles.push(message),
      )
    return told
  }

  async #say(sandbox: string, services: readonly VirtualService[], troubles: string[]): Promise<void> {
    const text = JSON.stringify(services)
    if ((this.#said.get(sandbox) ?? this.#before) === text) return
    this.#said.set(sandbox, UNKNOWN)
    await this.#parts.kernel.balance(sandbox, services).then(
      isThere => (isThere ? this.#succeed(sandbox, text) : this.#miss(sandbox)),
      ({ message }: Error) => troubles.push(message),
    )
  }

  #succeed(sandbox: string, text: string): void {
    this.#said.set(sandbox, text)
    this.#missed.delete(sandbox)
  }

  #miss(sandbox: string): void {
    this.#missed.set(sandbox, (this.#missed.get(sandbox) ?? 0) + 1)
  }
}

/** The namespaces of each network's containers, by networks of namespaces. */
function byNetwork(containers: ReadonlyMap<string, readonly string[]>): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const [sandbox, networks] of containers)
    for (const network of networks) found.set(network, [...(found.get(network) ?? []), sandbox])
  return found
}
