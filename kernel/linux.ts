import { open, type Socket } from '@tsnet/netlink'
import { diff } from '../core/diff.ts'
import type { Claim, Facts, Furnished, Parent } from '../core/faces.ts'
import { stepLine } from '../core/lines.ts'
import type { Row, Step, Wanted } from '../core/rows.ts'
import { Accepts } from './accepts.ts'
import { Addresses } from './addresses.ts'
import { Elements } from './elements.ts'
import { Fdb } from './fdb.ts'
import { forget, type Moved } from './flows.ts'
import { Generations } from './generations.ts'
import { look, retire } from './inside.ts'
import { announce, parentFacts, probe } from './lan.ts'
import { Links } from './links.ts'
import { Neighbours } from './neighbours.ts'
import { about, type Ordered, ordered, takeDeletedElements } from './order.ts'
import { Ports } from './ports.ts'
import { Rates } from './rates.ts'
import type { Failure, Report } from './room.ts'
import { Routes } from './routes.ts'
import { Ruleset } from './ruleset.ts'
import { Shortcuts } from './shortcuts.ts'
import { linkOf, Sysctls, sysctl } from './sysctls.ts'
import { Trash } from './trash.ts'
import { Watch } from './watch.ts'

/** An outcome that can cross from thread to thread. */
export type Result = { ok: true } | ({ ok: false; step: string } & Failure)

const DONE: Result = { ok: true }

/** Sysctls that make a host a router. */
const FORWARDING = { 'net/ipv4/ip_forward': 'ipv4', 'net/ipv6/conf/all/forwarding': 'ipv6' } as const
const EPHEMERAL = 'net/ipv4/ip_local_port_range'

/** All of Linux in the network namespace of the thread that made it. Every call blocks. */
export class Linux {
  readonly #route: Socket = open({ protocol: 'route' })
  readonly #netfilter: Socket = open({ protocol: 'netfilter' })
  readonly #links: Links
  readonly #addresses: Addresses
  readonly #fdb: Fdb
  readonly #neighbours: Neighbours
  readonly #routes: Routes
  readonly #rates: Rates
  readonly #ruleset: Ruleset
  readonly #elements: Elements
  readonly #accepts: Accepts
  readonly #sysctls: Sysctls
  readonly #ports = new Ports()
  readonly #shortcuts: Shortcuts
  readonly #generations: Generations
  #watch: Watch | undefined

  readonly #log: (words: string) => void
  readonly #trash: Trash

  /** `log` hears what went wrong in the background. */
  constructor(log: (words: string) => void) {
    this.#log = log
    this.#trash = new Trash(this.#route, log)
    this.#links = new Links(this.#route, count => this.#trash.add(count))
    this.#addresses = new Addresses(this.#route, this.#links)
    this.#shortcuts = new Shortcuts(this.#route, this.#links, log)
    this.#fdb = new Fdb(this.#route, this.#links, this.#shortcuts)
    this.#neighbours = new Neighbours(this.#route, this.#links)
    this.#routes = new Routes(this.#route, this.#links)
    this.#rates = new Rates(this.#route, this.#links)
    this.#generations = new Generations(this.#netfilter)
    this.#ruleset = new Ruleset(this.#netfilter)
    this.#elements = new Elements(this.#netfilter, this.#ruleset, moved => this.#forget(moved))
    this.#accepts = new Accepts(this.#generations, family => this.#ruleset.hasForward(family))
    this.#sysctls = new Sysctls((key, value) => this.#turned(key, value))
  }

  read(rows: readonly Row[], owned: boolean): Row[] {
    const links = this.#links.present(rows, owned)
    return [
      ...links.map(({ row }) => row),
      ...(owned ? this.#addresses.owned(rows, links) : this.#addresses.read(rows)),
      ...(owned ? this.#shortcuts.owned(links) : this.#shortcuts.read(rows)),
      ...this.#fdb.read(rows, owned, links),
      ...this.#neighbours.read(rows, owned, links),
      ...this.#routes.read(rows, owned),
      ...this.#rates.read(rows, owned, links),
      ...this.#sysctls.read(this.#withLinks(rows)),
      ...this.#ruleset.read(rows, owned),
      ...this.#elements.read(rows, owned),
      ...this.#ports.read(rows, owned),
      ...this.#accepts.read(rows, owned),
    ]
  }

  /** Without the sysctls of links that aren't there: one in the trash still has its files. */
  #withLinks(rows: readonly Row[]): Row[] {
    const links = rows.flatMap(row => (row.kind === 'sysctl' ? (linkOf(row.key) ?? []) : []))
    const there = this.#links.indexes(links)
    return rows.filter(
      row => row.kind === 'sysctl' && (linkOf(row.key) === undefined || there.has(linkOf(row.key) as string)),
    )
  }

  apply(steps: readonly Step[]): Result[] {
    const results: Result[] = []
    const report: Report = (at, failure) => {
      results[at] = failure ? { ok: false, step: stepLine(steps[at] as Step), ...failure } : DONE
    }
    const placed = ordered(steps)
    if (removesChains(placed)) this.#elements.apply(takeDeletedElements(placed), report)
    this.#shortcuts.clear(placed, report)
    const rooms = [
      this.#ruleset,
      this.#links,
      this.#rates,
      this.#sysctls,
      this.#addresses,
      this.#shortcuts,
      this.#fdb,
      this.#neighbours,
      this.#routes,
      this.#ports,
      this.#accepts,
      this.#elements,
    ]
    for (const room of rooms) room.apply(placed, report)
    if (about(placed, 'accept').length > 0) this.#watch?.accepted()
    return results
  }

  amend(wanted: readonly Wanted[], others: readonly Row[]): { steps: Step[]; results: Result[] } {
    const steps = diff(wanted, this.read([...wanted.map(({ row }) => row), ...others], false))
    return { steps, results: this.apply(steps) }
  }

  facts(): Facts {
    const [first = 32768, last = 60999] = sysctl(EPHEMERAL)?.split(' ').map(Number) ?? []
    return {
      accept: this.#accepts.possible(),
      engineBridges: this.#links.engineBridges(),
      ephemeral: [first, last],
      shortcut: this.#shortcuts.possible(),
    }
  }

  look(namespace: string, link: string): Furnished | undefined {
    return look(namespace, link)
  }

  retire(namespace: string, link: string, mac?: string): void {
    retire(namespace, link, mac)
  }

  parent(name: string): Parent | undefined {
    return parentFacts(this.#route, name)
  }

  probe(link: string, addresses: readonly string[]): Promise<Claim | undefined> {
    return probe(this.#route, link, addresses)
  }

  announce(link: string, addresses: readonly string[], mac?: string): void {
    announce(this.#route, link, addresses, mac)
  }

  /** Rings for what others do to ours and to the firewalls beside us, until closed. */
  watch(ring: () => void): void {
    const rooms = {
      links: this.#links,
      addresses: this.#addresses,
      fdb: this.#fdb,
      neighbours: this.#neighbours,
      routes: this.#routes,
      accepts: this.#accepts,
      generations: this.#generations,
    }
    this.#watch = new Watch(rooms, ring)
  }

  /** Gives the ports back and empties the trash. */
  async close(): Promise<void> {
    this.#watch?.close()
    this.#ports.close()
    this.#shortcuts.close()
    await this.#trash.empty()
    this.#route.close()
    this.#netfilter.close()
  }

  /** After the answer, for nobody waits for it: the walk through all flows takes milliseconds on a busy host. */
  #forget(moved: Moved[]): void {
    setImmediate(() => {
      try {
        forget(this.#netfilter, this.#route, moved)
      } catch (error) {
        this.#log(`stale UDP flows were not forgotten: ${(error as Error).message}`)
      }
    })
  }

  #turned(key: string, value: string): void {
    const family = FORWARDING[key as keyof typeof FORWARDING]
    if (family && value === '1') this.#accepts.closeForward(family)
  }
}

/** A chain can't go while the verdict of an element leads to it, nor can the two go in one transaction. */
function removesChains(placed: Ordered): boolean {
  return about(placed, 'chain', 'set').some(({ step: { verb } }) => verb === 'delete' || verb === 'replace')
}
