import { nothing, ofEndpoint, ofRemoved, type Touch, type View } from './desired.ts'
import { isWay, placeOf, sharedKey } from './elsewhere.ts'
import type { StepError } from './errors.ts'
import type { Place } from './faces.ts'
import type { Change, Endpoint, Network } from './records.ts'
import type { Row } from './rows.ts'
import type { Log, Settler } from './settle.ts'

/** Changes of networks and endpoints on their way to the disk and to the kernel. */
export class Changes {
  readonly #settler: Settler
  readonly #view: View
  readonly #log: Log

  constructor(settler: Settler, view: View, log: Log) {
    this.#settler = settler
    this.#view = view
    this.#log = log
  }

  /** Writes one record and settles it; if the kernel turns it down, the record is what it was before. */
  async change(
    change: Extract<Change, { table: 'network' | 'endpoint' }>,
    born: readonly string[] = [],
  ): Promise<void> {
    const before = this.#valueOf(change)
    const [failure] = await this.carryOut([change], born)
    if (!failure) return
    await this.carryOut([undo(change, before)])
    throw failure
  }

  /**
   * Takes something away and waits for nothing: whoever asks for the same name, address or link next is settled after this, what the
   * kernel still holds is tried again, and what a power cut keeps in the records Docker's own list takes away.
   */
  forget(changes: readonly Change[]): void {
    const isUnsure = changes.some(change => this.#isUnsure(change))
    this.carryOut(changes)
      .then(() => (isUnsure ? this.#settler.settle('everything') : undefined))
      .catch(error => this.#log.error({ err: error }, 'what was removed is still there'))
  }

  /** Of a network whose peers aren't known yet nobody can tell which ways in the kernel were its own: all are looked at. */
  #isUnsure({ table, id }: Change): boolean {
    const { records, modes, peers } = this.#view
    const network = table === 'network' ? records.networks.get(id) : undefined
    return network !== undefined && isWay(modes, network.mode) && !peers.complete(sharedKey(network))
  }

  /**
   * Resolves when the changes are on disk and in the kernel, with the steps that failed there. Both begin at once: what a crash leaves in the
   * kernel without a record, the next start takes away, and so is what could not be recorded.
   */
  async carryOut(changes: readonly Change[], born: readonly string[] = []): Promise<StepError[]> {
    const touch = this.#touchOf(changes, born)
    const written = this.#settler.store.write(changes)
    const [disk, kernel] = await Promise.allSettled([written, this.#settler.settle(touch)])
    if (disk.status === 'rejected') await this.#settler.settle('everything')
    if (disk.status === 'rejected') throw disk.reason
    if (kernel.status === 'rejected') throw kernel.reason
    return kernel.value
  }

  #touchOf(changes: readonly Change[], born: readonly string[]): Touch {
    return {
      ...nothing,
      born,
      homes: changes.flatMap(change => this.#subject(change)?.network ?? []),
      places: changes.flatMap(change => this.#placeOf(change) ?? []),
      networks: changes.flatMap(change => (change.table === 'network' ? this.#together(change.id) : [])),
      endpoints: changes.flatMap(change => (change.table === 'endpoint' ? change.id : [])),
      before: changes.flatMap(change => this.#rowsOf(change)),
    }
  }

  /** A network with those that hang on the same parent: what one wants no more another one may still want. */
  #together(id: string): string[] {
    const { networks } = this.#view.records
    const network = networks.get(id)
    const parents = (of: Network) => this.#view.modes[of.mode]?.onParent?.names(of) ?? []
    const mine = network ? parents(network) : []
    const near = [...networks.values()].filter(
      each => each.id !== id && parents(each).some(name => mine.includes(name)),
    )
    return [id, ...near.map(each => each.id)]
  }

  #rowsOf(change: Change): Row[] {
    const network = change.table === 'network' && this.#view.records.networks.get(change.id)
    const endpoint = change.table === 'endpoint' && this.#view.records.endpoints.get(change.id)
    // Without looking whether the network is in use here: it may have been until a moment ago.
    if (network) return ofRemoved(this.#view, network)
    return endpoint ? ofEndpoint(this.#view, endpoint).map(each => each.row) : []
  }

  /** The endpoint that a change is about, as it is to be or as it was. */
  #subject(change: Change): Endpoint | undefined {
    return change.table === 'endpoint'
      ? (change.value ?? this.#view.records.endpoints.get(change.id))
      : undefined
  }

  #placeOf(change: Change): Place | undefined {
    const endpoint = this.#subject(change)
    const network = endpoint && this.#view.records.networks.get(endpoint.network)
    return network && placeOf(this.#view, network, endpoint)
  }

  #valueOf(change: Change): Network | Endpoint | undefined {
    return change.table === 'network'
      ? this.#view.records.networks.get(change.id)
      : this.#view.records.endpoints.get(change.id)
  }
}

function undo(change: Change, before: Network | Endpoint | undefined): Change {
  return { table: change.table, id: change.id, ...(before && { value: before }) } as Change
}
