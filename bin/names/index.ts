import { setTimeout as wait } from 'node:timers/promises'
import * as z from 'zod'
import { host } from '../../core/addresses.ts'
import { sharedKey } from '../../core/elsewhere.ts'
import type { Store } from '../../core/faces.ts'
import type { Change as RecordChange } from '../../core/records.ts'
import type { Log } from '../../core/settle.ts'
import { Directory } from '../../names/directory.ts'
import { resolvers } from '../../names/relay.ts'
import { NameServer } from '../../names/server.ts'
import { type Change, type Entry, endpointOf, kinds } from '../../vxlan-fdb/index.ts'
import { toText } from '../cluster/addresses.ts'
import type { Called, Engine } from './docker.ts'

export type NamesParts = {
  engine: Engine
  store: Store
  /** Whether networks of a mode span hosts. */
  spans: (mode: string) => boolean
  /** Puts what this host says among its records. */
  say: (entries: Entry[]) => void
  log: Log
}

/** Milliseconds until Docker is asked again after it was away. */
const DOCKER_AWAY = 2_000

const value = z.array(z.string().max(253)).max(128)

/**
 * Containers' names across hosts: what Docker calls the endpoints here is told to all, and what all tell is answered to containers here.
 */
export class Names {
  readonly #parts: NamesParts
  readonly #directory = new Directory()
  /** What this host says, by endpoint. */
  readonly #said = new Map<string, Entry>()
  #server: NameServer | undefined
  #closed = false

  constructor(parts: NamesParts) {
    this.#parts = parts
  }

  /** Answers at this port from now on; false, with a word in the log, when somebody else has it. */
  async listen(port: number): Promise<boolean> {
    const { log } = this.#parts
    const networkOf = (address: string) => this.#networkOf(address)
    const upstream = () => resolvers().filter(each => !this.#gateways().has(each))
    try {
      const { random } = Math
      this.#server = await NameServer.open({
        port,
        directory: this.#directory,
        networkOf,
        resolvers: upstream,
        random,
      })
      return true
    } catch (error) {
      log.error({ err: error }, `containers' names aren't answered here: port ${port} can't be had`)
      return false
    }
  }

  /** Begins to follow Docker. */
  start(): void {
    void this.#follow()
  }

  close(): void {
    this.#closed = true
    this.#server?.close()
  }

  /** All that this host says of names. */
  entries(): Entry[] {
    return [...this.#said.values()]
  }

  /** Records of this host changed: an endpoint that is gone has no names. */
  tell(changes: readonly RecordChange[]): void {
    const gone = changes.flatMap(({ table, id, value }) =>
      table === 'endpoint' && !value ? (this.#said.get(id) ?? []) : [],
    )
    for (const { key } of gone) this.#said.delete(key)
    this.#parts.say(gone.map(entry => ({ ...entry, value: undefined })))
  }

  /** Records of the table changed, this host's among them. */
  hear(changes: readonly Change[]): void {
    for (const { network, kind, key, origin, value } of changes) {
      const id = `${origin} ${key}`
      if (kind === kinds.name) this.#directory.name(network, id, readNames(value))
      if (kind === kinds.endpoint) this.#directory.reach(network, id, addressesOf(value))
    }
  }

  async #follow(): Promise<void> {
    const { engine, log } = this.#parts
    const look = async (ask: () => Promise<Called[]>) => {
      try {
        this.#say(await ask())
      } catch (error) {
        log.debug({ err: error }, "containers' names can't be had now")
      }
    }
    while (!this.#closed) {
      const ready = () => void look(() => engine.all())
      await engine.watch(ready, container => void look(() => engine.of(container))).catch(() => {})
      await wait(DOCKER_AWAY, undefined, { ref: false })
    }
  }

  #say(all: readonly Called[]): void {
    const { store, spans, say } = this.#parts
    const entries = all.flatMap(({ endpoint, names }): Entry[] => {
      const record = store.records.endpoints.get(endpoint)
      const network = record && store.records.networks.get(record.network)
      if (!network || !spans(network.mode)) return []
      return [
        {
          network: sharedKey(network),
          kind: kinds.name,
          key: endpoint,
          value: Buffer.from(JSON.stringify(names)),
        },
      ]
    })
    for (const entry of entries) this.#said.set(entry.key, entry)
    say(entries)
  }

  /** Of containers on this host alone: nobody else has reason to ask. */
  #networkOf(address: string): string | undefined {
    const { store, spans } = this.#parts
    for (const { network, ipv4, ipv6 } of store.records.endpoints.values()) {
      if ((ipv4 === undefined || host(ipv4) !== address) && (ipv6 === undefined || host(ipv6) !== address))
        continue
      const record = store.records.networks.get(network)
      if (record && spans(record.mode)) return sharedKey(record)
    }
    return undefined
  }

  /** A resolver of this host that is one of our own gateways would be asked for ever. */
  #gateways(): Set<string> {
    const networks = [...this.#parts.store.records.networks.values()]
    return new Set(
      networks.flatMap(({ ipv4, ipv6 }) =>
        [...ipv4, ...ipv6].flatMap(each => (each.gateway ? host(each.gateway) : [])),
      ),
    )
  }
}

function readNames(bytes: Buffer | undefined): string[] {
  if (!bytes) return []
  try {
    return value.safeParse(JSON.parse(bytes.toString())).data ?? []
  } catch {
    return []
  }
}

function addressesOf(bytes: Buffer | undefined): string[] {
  const found = endpointOf(bytes)
  return found ? [found.ip4, found.ip6].flatMap(ip => (ip ? [toText(ip)] : [])) : []
}
