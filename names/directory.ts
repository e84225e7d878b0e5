import { type Entry, networkNames } from './entry.ts'

/**
 * Who is called what, in networks that span hosts: names of endpoints and their addresses, told apart from each other, for they arrive
 * apart. A name says nothing until its endpoint is known from the same host.
 */
export class Directory {
  readonly #networks = new Map<string, Known>()

  /** What one endpoint is called, the name that people use first; none takes it back. `id` tells its host, too. */
  name(network: string, id: string, names: readonly string[]): void {
    this.#change(network, id, { names: networkNames(names) })
  }

  /** Where one endpoint is reached; none takes it back. */
  reach(network: string, id: string, addresses: readonly string[]): void {
    this.#change(network, id, { addresses: [...addresses] })
  }

  /** Addresses of everybody who is called so, whatever the case; undefined when nobody is. */
  addresses(network: string, name: string): string[] | undefined {
    const known = this.#networks.get(network)
    const found = [...(known?.names.get(name.toLowerCase()) ?? [])].flatMap(
      id => known?.entries.get(id)?.addresses ?? [],
    )
    return found.length > 0 ? found : undefined
  }

  /** What the endpoint with this address is called first. */
  nameOf(network: string, address: string): string | undefined {
    const known = this.#networks.get(network)
    const [id] = known?.addresses.get(address) ?? []
    return id === undefined ? undefined : known?.entries.get(id)?.names[0]
  }

  #change(network: string, id: string, change: Partial<Entry>): void {
    const known = this.#networks.get(network) ?? {
      entries: new Map(),
      names: new Map(),
      addresses: new Map(),
    }
    const before = known.entries.get(id) ?? { names: [], addresses: [] }
    const after = { ...before, ...change }
    for (const name of before.names) drop(known.names, name.toLowerCase(), id)
    for (const address of before.addresses) drop(known.addresses, address, id)
    for (const name of after.names) put(known.names, name.toLowerCase(), id)
    for (const address of after.addresses) put(known.addresses, address, id)
    if (after.names.length + after.addresses.length > 0) known.entries.set(id, after)
    else known.entries.delete(id)
    if (known.entries.size > 0) this.#networks.set(network, known)
    else this.#networks.delete(network)
  }
}

type Known = {
  entries: Map<string, Entry>
  names: Map<string, Set<string>>
  addresses: Map<string, Set<string>>
}

function put(index: Map<string, Set<string>>, word: string, id: string): void {
  index.set(word, (index.get(word) ?? new Set()).add(id))
}

function drop(index: Map<string, Set<string>>, word: string, id: string): void {
  const ids = index.get(word)
  if (ids?.delete(id) && ids.size === 0) index.delete(word)
}
