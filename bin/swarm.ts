import Docker from 'dockerode'
import type { Log } from '../core/settle.ts'
import { Alarm } from './alarm.ts'

/** Milliseconds between two tries to meet nodes that are no members yet. */
const PERIOD = 5_000

export type SwarmParts = {
  /** Path of Docker's API. */
  socket: string
  /** Joins those of these addresses that aren't members; tells whether this host still knows no other. */
  greet: (addresses: readonly string[]) => boolean
  log: Log
}

/**
 * The nodes of the Swarm, so that they meet without TSNET_JOIN. Docker tells of each that comes or goes; a plugin that starts later is told
 * of its own node alone, so as long as it knows nobody it asks for the managers, which every node knows.
 */
export class SwarmNodes {
  readonly #parts: SwarmParts
  readonly #docker: Docker
  readonly #told = new Set<string>()
  readonly #alarm = new Alarm(() => void this.#look())

  constructor(parts: SwarmParts) {
    this.#parts = parts
    this.#docker = new Docker({ socketPath: parts.socket, timeout: 20_000 })
  }

  came(address: string): void {
    this.#told.add(address)
    this.#alarm.set(0)
  }

  went(address: string): void {
    this.#told.delete(address)
  }

  start(): void {
    this.#alarm.set(PERIOD)
  }

  close(): void {
    this.#alarm.close()
  }

  async #look(): Promise<void> {
    const isAlone = this.#parts.greet([...this.#told])
    if (isAlone) this.#parts.greet(await this.#managers())
    this.#alarm.set(PERIOD)
  }

  async #managers(): Promise<string[]> {
    try {
      const { Swarm } = await this.#docker.info()
      return ((Swarm?.RemoteManagers ?? []) as { Addr: string }[]).map(({ Addr }) => withoutPort(Addr))
    } catch (error) {
      this.#parts.log.debug({ err: error }, "Docker can't be asked for the Swarm's managers now")
      return []
    }
  }
}

/** `10.0.0.7:2377`, `[fd00::7]:2377`. */
const withoutPort = (address: string) => address.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
