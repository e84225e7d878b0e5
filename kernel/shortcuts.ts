import { createHash } from 'node:crypto'
import { closeSync } from 'node:fs'
import { constants } from 'node:os'
import {
  bpf,
  delIngress,
  dumpFdb,
  dumpFilters,
  dumpQdiscs,
  getIngress,
  NetlinkError,
  newIngress,
  replaceBpfFilter,
  type Socket,
} from '@tsnet/netlink'
import { EVERYBODY, type Row, type ShortcutRow } from '../core/rows.ts'
import type { Links } from './links.ts'
import { about, type Ordered } from './order.ts'
import type { Report } from './room.ts'
import { type Entry, NAME, ShortcutMap } from './shortcutmap.ts'
import { shortcutProgram } from './shortcutprogram.ts'

/** Our place among the filters of a block. */
const PLACE = { priority: 1, handle: 1 }
/** Tells a filter that runs another release's program. */
const RELEASE = createHash('sha256').update(shortcutProgram(0, 0)).digest('hex').slice(0, 12)

/**
 * Frames from one container to another of its network, past the bridge and the firewall hooks of br_netfilter: the ports of
 * a bridge, tunnels among them, share a block of filters whose one program finds the destination's port in a map and hands the
 * frame to the container behind it (bpf_redirect_peer, Linux 5.10) or to the tunnel. The block has the bridge's number, and the
 * filter's name the map's id, so a daemon finds both again; nothing of it outlives the last port. A failure is logged and fails
 * no step: without a shortcut, frames take the bridge.
 */
export class Shortcuts {
  readonly #socket: Socket
  readonly #links: Links
  readonly #log: (words: string) => void
  #map: ShortcutMap | undefined
  #possible: boolean | undefined
  #complaint = ''

  constructor(socket: Socket, links: Links, log: (words: string) => void) {
    this.#socket = socket
    this.#links = links
    this.#log = log
  }

  /** Whether this kernel lets us load our program; tried once. */
  possible(): boolean {
    this.#possible ??= this.#try('no shortcut between containers', () => closeSync(this.#load(0)))
    return this.#possible
  }

  read(rows: readonly Row[]): Row[] {
    const asked = rows.filter(row => row.kind === 'shortcut')
    if (asked.length === 0 || !this.possible()) return []
    const indexes = this.#indexes(asked)
    const whole = this.#wholeness()
    return asked.flatMap(({ link, bridge, mac }) => {
      const [index, number] = [indexes.get(link), indexes.get(bridge)]
      if (index === undefined) return []
      const through = (block: number) => block === number && whole(block) && bridge
      if (mac === undefined) return tunnelRow(link, this.#block(index), through)
      const entry = number === undefined ? undefined : this.#open().at(number, mac)
      return containerRow(link, this.#block(index), entry?.index === index ? entry : undefined, through)
    })
  }

  /**
   * Those of our links. Entries that lead to links that are gone are taken out: their containers died. A tunnel's is there if all MACs
   * that its table has are in the map.
   */
  owned(links: ReturnType<Links['present']>): Row[] {
    if (!this.possible()) return []
    const names = new Map(links.map(({ link, row }) => [link.index, row.name]))
    const entries = this.#entries(names)
    const blocks = new Map(this.#socket.dump(dumpQdiscs()).map(each => [each.index, each.ingressBlock]))
    const whole = this.#wholeness()
    const through = (block: number) => whole(block) && (names.get(block) ?? false)
    return links.flatMap(({ link: { index }, row: { name, type } }) => {
      const [block, mine] = [blocks.get(index), entries.get(index) ?? []]
      if (type !== 'vxlan') return containerRow(name, block, mine[0], through)
      const there = new Set(mine.map(({ mac }) => mac))
      const complete = this.#behind(index).every(mac => there.has(mac))
      return tunnelRow(name, block, number => complete && through(number))
    })
  }

  /** Deletes, before the links go that the entries lead to. A link that stays loses its qdisc. */
  clear(steps: Ordered, report: Report): void {
    const all = about(steps, 'shortcut').filter(({ step }) => step.verb === 'delete')
    if (all.length === 0) return
    const leaving = new Set(
      about(steps, 'link').flatMap(({ step: { verb, row } }) => (verb === 'delete' ? row.name : [])),
    )
    const indexes = this.#indexes(all.map(({ step }) => step.row))
    for (const { at, step } of all) {
      this.#try(`the shortcut to ${step.row.link} stays`, () => {
        this.#drop(step.row, indexes)
        if (!leaving.has(step.row.link)) this.#unblock(indexes.get(step.row.link))
      })
      report(at)
    }
  }

  /** Adds and sets, after the links are there. */
  apply(steps: Ordered, report: Report): void {
    const all = about(steps, 'shortcut').filter(({ step }) => step.verb !== 'delete')
    if (all.length === 0) return
    const indexes = this.#indexes(all.map(({ step }) => step.row))
    for (const { at, step } of all) {
      const { row, was } = step
      if (this.possible())
        this.#try(`no shortcut to ${row.link}`, () => {
          if (was?.kind === 'shortcut') this.#drop({ ...was, bridge: row.bridge }, indexes)
          this.#add(row, indexes)
        })
      report(at)
    }
  }

  /** Frames for these MACs into a tunnel that has a shortcut. */
  lead(index: number, macs: readonly string[]): void {
    this.#inTunnel(index, macs, (map, bridge) => map.leadInto(bridge, index, macs))
  }

  /** No longer. */
  leave(index: number, macs: readonly string[]): void {
    this.#inTunnel(index, macs, (map, bridge) => map.drop(bridge, index, macs))
  }

  #inTunnel(index: number, macs: readonly string[], run: (map: ShortcutMap, bridge: number) => void): void {
    if (macs.length === 0 || !this.possible()) return
    this.#try('no shortcut to another host', () => {
      const bridge = this.#block(index)
      if (bridge !== undefined) run(this.#open(), bridge)
    })
  }

  close(): void {
    this.#map?.[Symbol.dispose]()
  }

  #try(words: string, run: () => void): boolean {
    try {
      run()
      return true
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error
      const complaint = `${words}: ${error.message}`
      if (complaint !== this.#complaint) this.#log(complaint)
      this.#complaint = complaint
      return false
    }
  }

  #indexes(rows: readonly ShortcutRow[]): Map<string, number> {
    return this.#links.indexes(rows.flatMap(({ link, bridge }) => [link, bridge]))
  }

  /** The map that filters of ours look into, or a new one. */
  #open(): ShortcutMap {
    this.#map ??= new ShortcutMap(this.#adopt())
    return this.#map
  }

  #adopt(): bpf.BpfMap | undefined {
    const blocks = this.#socket.dump(dumpQdiscs()).flatMap(({ ingressBlock }) => ingressBlock ?? [])
    for (const block of new Set(blocks)) {
      const [name, , id] = this.#filterName(block).split(' ')
      if (name === NAME && id) return bpf.BpfMap.open(Number(id))
    }
    return undefined
  }

  #load(bridge: number): number {
    return bpf.loadProgram(NAME, shortcutProgram(bridge, this.#open().fd))
  }

  /** What the filter in our place of a block is called. */
  #filterName(block: number): string {
    const filters = this.#socket.dump(dumpFilters(block))
    const ours = filters.find(
      each => each.priority === PLACE.priority && each.handle === PLACE.handle && each.bpf,
    )
    return ours?.bpf?.name ?? ''
  }

  /** Tells of a block whether our program is there and looks into our map; each is looked at once. */
  #wholeness(): (block: number) => boolean {
    const seen = new Map<number, boolean>()
    return block => {
      const answer = seen.get(block) ?? this.#filterName(block) === this.#name()
      seen.set(block, answer)
      return answer
    }
  }

  #name = () => `${NAME} ${RELEASE} ${this.#open().id}`

  /** The block of a link's ingress qdisc. */
  #block(index: number): number | undefined {
    const [qdisc] = this.#socket.batch([getIngress(index)])
    return qdisc instanceof NetlinkError ? undefined : qdisc?.ingressBlock
  }

  /** Entries by the link that they lead to. */
  #entries(links: ReadonlyMap<number, string>): Map<number, Entry[]> {
    const found = new Map<number, Entry[]>()
    const stale: Entry[] = []
    for (const entry of this.#open().entries()) {
      const list = links.has(entry.index) ? (found.get(entry.index) ?? []) : stale
      list.push(entry)
      if (list !== stale) found.set(entry.index, list)
    }
    for (const { bridge, index, mac } of stale) this.#open().drop(bridge, index, [mac])
    return found
  }

  /** MACs that a tunnel's table has a host for. */
  #behind(index: number): string[] {
    const entries = this.#socket.dump(dumpFdb({ index }))
    return entries.flatMap(({ lladdr, dst, master }) =>
      lladdr !== undefined && lladdr !== EVERYBODY && dst !== undefined && master === undefined ? lladdr : [],
    )
  }

  #drop({ link, bridge, mac }: ShortcutRow, indexes: ReadonlyMap<string, number>): void {
    const [index, number] = [indexes.get(link), indexes.get(bridge)]
    if (index === undefined || number === undefined || mac === '') return
    this.#open().drop(number, index, mac === undefined ? this.#behind(index) : [mac])
  }

  #unblock(index: number | undefined): void {
    if (index !== undefined && this.#block(index) !== undefined) this.#socket.request(delIngress(index))
  }

  #add({ link, bridge, mac }: ShortcutRow, indexes: ReadonlyMap<string, number>): void {
    const [index, number] = [indexes.get(link), indexes.get(bridge)]
    if (index === undefined || number === undefined)
      throw new NetlinkError('ENODEV', constants.errno.ENODEV, `no such link: ${index ? bridge : link}`)
    this.#enter(index, number)
    if (this.#filterName(number) !== this.#name()) this.#install(number)
    if (mac === undefined) this.#open().leadInto(number, index, this.#behind(index))
    else this.#open().lead({ bridge: number, mac, index, tunnel: false })
  }

  /** Gives the link the bridge's block, in place of one of a bridge that it was a port of before. */
  #enter(index: number, bridge: number): void {
    const [refusal] = this.#socket.batch([newIngress(index, bridge)])
    if (!(refusal instanceof NetlinkError)) return
    const block = this.#block(index)
    if (refusal.code !== 'EEXIST' || block === undefined) throw refusal
    if (block === bridge) return
    this.#socket.request(delIngress(index))
    this.#socket.request(newIngress(index, bridge))
  }

  #install(bridge: number): void {
    const fd = this.#load(bridge)
    try {
      this.#socket.request(replaceBpfFilter({ block: bridge, ...PLACE }, { fd, name: this.#name() }))
    } finally {
      closeSync(fd)
    }
  }
}

/** The bridge that a block leads through, if its program is there and ours. */
type Through = (block: number) => string | false

/** The row as far as it is there: a part that isn't, or isn't right, is empty. */
function containerRow(
  link: string,
  block: number | undefined,
  entry: Entry | undefined,
  through: Through,
): ShortcutRow[] {
  if (block === undefined && !entry) return []
  const mac = entry?.bridge === block ? (entry?.mac ?? '') : ''
  return [{ kind: 'shortcut', link, bridge: (block !== undefined && through(block)) || '', mac }]
}

const tunnelRow = (link: string, block: number | undefined, through: Through): ShortcutRow[] =>
  block === undefined ? [] : [{ kind: 'shortcut', link, bridge: through(block) || '' }]
