import { dirname } from 'node:path'
import type { Logger } from 'pino'
import type { Store } from '../core/faces.ts'
import type { Change, Network } from '../core/records.ts'
import { modes } from '../modes/index.ts'
import { vniOf } from '../modes/overlay.ts'
import type { Entry } from '../vxlan-fdb/index.ts'
import { Following } from './cluster/following.ts'
import { Cluster } from './cluster/index.ts'
import { Memory } from './cluster/memory.ts'
import type { Moves } from './cluster/others.ts'
import { type Brought, type ClusterSettings, clusterSettings } from './cluster/settings.ts'
import { readPort } from './endpoint.ts'
import type { Host } from './host.ts'
import { KeyFile } from './keyfile.ts'
import { docker } from './mirror/docker.ts'
import { Mirror } from './mirror/index.ts'
import { engine as dockerNames } from './names/docker.ts'
import { Names } from './names/index.ts'
import { pluginName } from './plugin.ts'
import { servicesOf } from './services/docker.ts'
import { VirtualServices } from './services/index.ts'
import type { Settings } from './settings.ts'

const spans = (mode: string) => modes[mode]?.elsewhere !== undefined

/**
 * This host as one of several: the cluster at the address that it has now, the networks that others made, the names of containers.
 * Each part comes when it can; a host that keeps to itself has none.
 */
export class Membership {
  /** Whether this host is to meet others at all. */
  readonly wanted: boolean
  readonly #settings: Settings
  readonly #log: Logger
  readonly #keyFile: KeyFile | undefined
  #store: Store | undefined
  #following: Following | undefined
  #mirror: Mirror | undefined
  #names: Names | undefined
  #services: VirtualServices | undefined

  constructor(settings: Settings, log: Logger) {
    this.#keyFile = KeyFile.of(settings, log)
    this.wanted = settings.key !== '' || settings.join !== '' || this.#keyFile !== undefined
    this.#settings = settings
    this.#log = log
  }

  get cluster(): Cluster | undefined {
    return this.#following?.cluster
  }

  /** Changes of this host's records, once they are on disk. */
  tell(changes: readonly Change[]): void {
    this.cluster?.tell(changes)
    this.#mirror?.tell(changes)
    this.#names?.tell(changes)
    this.#services?.tell(changes)
  }

  /** A network as it is to be recorded; Refused for one that others are known to have. */
  admit(network: Network): Network {
    return this.#mirror?.admit(network) ?? network
  }

  /** Refused for settings that can't ever be right. */
  meeting = (): Promise<ClusterSettings> => clusterSettings(this.#settings, this.#brought())

  /** Why this host meets nobody yet, in a sentence. */
  get complaint(): string {
    return this.#following?.complaint ?? ''
  }

  /** To be called first: what this host knows of its last life. Before the first settle, for rows of networks name the port. Where that is taken, names are answered on this host alone. */
  async listen(store: Store): Promise<void> {
    const { dns, docker } = this.#settings
    this.#store = store
    if (!this.wanted || dns === 'off') return
    this.#names = new Names({ engine: dockerNames(docker), store, spans, say: this.#say, log: this.#log })
    if (!(await this.#names.listen(readPort('TSNET_DNS', dns)))) this.#settings.dns = 'off'
  }

  /** Joins the others, once the host has settled alone. */
  async join(host: Host): Promise<void> {
    if (!this.wanted) return
    const { store, peers, engine, settler, podCidrs, own } = host
    const log = this.#log
    const unsettled = (err: unknown) => log.error({ err }, 'what other hosts told is not in the kernel yet')
    const mirror = this.#mirrored(store)
    if (this.#settings.scope === 'global') this.#services = this.#balanced(host)
    const parts = {
      store,
      peers,
      divided: () => podCidrs.pools(),
      dealt: () => own.ring(),
      networks: mirror,
      ...(this.#names && { names: this.#names }),
      spans,
      run: dirname(this.#settings.api),
      moved: ({ places, members }: Moves) => {
        if (places.length > 0) {
          engine.moved(places).catch(unsettled)
          this.#services?.soon()
        }
        if (members.length > 0) engine.joined(members).catch(unsettled)
      },
      heard: () => {
        settler.settle('everything').catch(unsettled)
        mirror.complete()
      },
      log,
    }
    this.#mirror = mirror
    this.#following = new Following({
      settings: this.meeting,
      peers,
      open: settings => Cluster.open({ ...parts, settings }),
      moved: () => settler.settle('everything'),
      log,
    })
    await this.#following.start()
    this.#keyFile?.follow(() => this.#following?.ring())
  }

  /** Once Docker can reach this host: networks are made through its API. */
  start(): void {
    this.#mirror?.start()
    this.#names?.start()
    this.#services?.soon()
  }

  async close(): Promise<void> {
    this.#keyFile?.close()
    this.#mirror?.close()
    this.#names?.close()
    this.#services?.close()
    await this.#following?.close()
  }

  #brought(): Brought | undefined {
    const file = this.#keyFile
    if (!file) return undefined
    const areKept = this.#store !== undefined && new Memory(this.#store).text('keyring') !== undefined
    return { path: file.path, keys: file.keys, areKept }
  }

  #say = (entries: Entry[]) => this.cluster?.write(entries)

  #balanced({ store, kernel }: Host): VirtualServices {
    const { docker } = this.#settings
    return new VirtualServices({ services: servicesOf(docker), store, spans, kernel, log: this.#log })
  }

  #mirrored(store: Store): Mirror {
    const path = this.#settings.docker
    return new Mirror({
      docker: docker(path),
      driver: () => pluginName(path),
      store,
      spans,
      vniOf,
      say: this.#say,
      log: this.#log,
      now: () => performance.now(),
    })
  }
}
