import { sharedKey } from '../../core/elsewhere.ts'
import type { Store } from '../../core/faces.ts'
import type { Change, Endpoint } from '../../core/records.ts'
import { type Entry, kinds, writeEndpoint } from '../../vxlan-fdb/index.ts'
import { macBytes, toBytes } from './addresses.ts'

/**
 * What this host tells others of its own endpoints: those of networks that span hosts, from the moment their record is on
 * disk.
 */
export class Own {
  readonly #store: Store
  readonly #spans: (mode: string) => boolean
  readonly #told = new Map<string, Entry>()

  constructor(store: Store, spans: (mode: string) => boolean) {
    this.#store = store
    this.#spans = spans
  }

  /** Everything there is to tell. */
  all(): Entry[] {
    this.#told.clear()
    return [...this.#store.records.endpoints.values()].flatMap(each => this.#tell(each))
  }

  /** What changes of records come to. */
  of(changes: readonly Change[]): Entry[] {
    return changes.flatMap(change => {
      if (change.table !== 'endpoint') return []
      return change.value ? this.#tell(change.value) : this.#takeBack(change.id)
    })
  }

  #tell(endpoint: Endpoint): Entry[] {
    const network = this.#store.records.networks.get(endpoint.network)
    if (!network || !this.#spans(network.mode)) return []
    const entry = entryOf(sharedKey(network), endpoint)
    if (this.#told.get(endpoint.id)?.value?.equals(entry.value)) return []
    this.#told.set(endpoint.id, entry)
    return [entry]
  }

  #takeBack(id: string): Entry[] {
    const entry = this.#told.get(id)
    this.#told.delete(id)
    return entry ? [{ ...entry, value: undefined }] : []
  }
}

function entryOf(network: string, { id, mac, ipv4, ipv6 }: Endpoint) {
  const value = writeEndpoint({
    mac: macBytes(mac),
    ip4: ipv4 === undefined ? undefined : toBytes(ipv4),
    ip6: ipv6 === undefined ? undefined : toBytes(ipv6),
    blockEpoch: 0,
  })
  return { network, kind: kinds.endpoint, key: id, value }
}

/** The same store, telling of every change once it is on disk. */
export function telling(store: Store, tell: (changes: readonly Change[]) => void): Store {
  return {
    get records() {
      return store.records
    },
    async write(changes) {
      await store.write(changes)
      tell(changes)
    },
    close: () => store.close(),
  }
}
