import { Engine } from '../../core/engine.ts'
import type { Peers, Store } from '../../core/faces.ts'
import { alone } from '../../core/peers.ts'
import type { Settler as SettlerType } from '../../core/settle.ts'
import { type Log, Settler } from '../../core/settle.ts'
import { FakeKernel } from '../../kernel/fake.ts'
import { ground } from '../../modes/firewall.ts'
import { modes } from '../../modes/index.ts'
import { memoryStore } from '../../store/memory.ts'

const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** The whole river with a kernel and a store in memory, and a clock that the test moves. */
export class World {
  readonly kernel: FakeKernel
  readonly store: Store
  readonly settler: SettlerType
  readonly engine: Engine
  now = 1_000_000
  /** Paths of namespaces that are no longer mounted. */
  readonly unmounted = new Set<string>()

  constructor(kernel = new FakeKernel(), store: Store = memoryStore(), peers: Peers = alone) {
    this.kernel = kernel
    this.store = store
    this.settler = new Settler({ kernel, store, modes, peers, ground: ground(), log: quiet })
    const { settler } = this
    this.engine = new Engine({
      kernel,
      settler,
      modes,
      peers,
      ephemeral: [40000, 40003],
      now: () => this.now,
      log: quiet,
      isNamespace: async path => !this.unmounted.has(path),
    })
  }
}
