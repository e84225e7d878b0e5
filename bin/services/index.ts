import type { Kernel, Store, VirtualService } from '../../core/faces.ts'
import type { Change } from '../../core/records.ts'
import type { Log } from '../../core/settle.ts'
import { Alarm } from '../alarm.ts'
import type { ServicesOf } from './docker.ts'

/** Milliseconds after something moved: what moves together is looked at together. */
const SOON = 50
/** Milliseconds between two looks, for Docker tells only who asks which tasks a service has. */
const PERIOD = 1_000
/** What the kernel was told of a namespace and may not have done. */
const UNKNOWN = ''

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
    const told = await this.#ask(new Set([...containers.values()].flat()), troubles)
    for (const sandbox of this.#said.keys()) if (!containers.has(sandbox)) this.#said.delete(sandbox)
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
    if (this.#again) this.#alarm.set(SOON)
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

  async #ask(networks: ReadonlySet<string>, troubles: string[]): Promise<Map<string, VirtualService[]>> {
    const told = new Map<string, VirtualService[]>()
    for (const network of networks)
      await this.#parts.services(network).then(
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
      () => this.#said.set(sandbox, text),
      ({ message }: Error) => troubles.push(message),
    )
  }
}
