import { createHash } from 'node:crypto'
import { closeSync } from 'node:fs'
import { constants } from 'node:os'
import {
  bpf,
  delIngress,
  dumpFilters,
  dumpQdiscs,
  getIngress,
  NetlinkError,
  newIngress,
  replaceBpfFilter,
  type Socket,
} from '@tsnet/netlink'
import type { Row, ShortcutRow } from '../core/rows.ts'
import type { Links } from './links.ts'
import { about, type Ordered } from './order.ts'
import type { Report } from './room.ts'
import { shortcutProgram } from './shortcutprogram.ts'

/** Name of our map, and the first word of our filters' names. */
const NAME = 'tsnet'
/** Containers on one host: a quarter of a megabyte of empty buckets. One too many is reached by way of the bridge. */
const CONTAINERS = 16384
/** Our place among the filters of a block. */
const PLACE = { priority: 1, handle: 1 }
/** Tells a filter that runs another release's program. */
const RELEASE = createHash('sha256').update(shortcutProgram(0, 0)).digest('hex').slice(0, 12)

/** The bridge's number, the MAC, two bytes of nothing: eight bytes aligned, as the program writes it. */
function keyOf(bridge: number, mac: string): Buffer {
  const key = Buffer.alloc(12)
  key.writeUInt32LE(bridge)
  key.write(mac.replaceAll(':', ''), 4, 6, 'hex')
  return key
}

const macOf = (key: Buffer) => (key.toString('hex', 4, 10).match(/../g) as string[]).join(':')

/** An entry of the map, which leads to one link. */
type Entry = { bridge: number; mac: string }

/**
 * Frames from one container to another of its network, past the bridge and the firewall hooks of br_netfilter: the ports of
 * a bridge share a block of filters whose one program finds the destination's port in a map and hands the frame to the
 * container behind it (bpf_redirect_peer, Linux 5.10). The block has the bridge's number, and the filter's name the map's id,
 * so a daemon finds both again; nothing of it outlives the last port. A failure is logged and fails no step: without a
 * shortcut, frames take the bridge.
 */
export class Shortcuts {
  readonly #socket: Socket
  readonly #links: Links
  readonly #log: (words: string) => void
  #map: bpf.BpfMap | undefined
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
      const index = indexes.get(link)
      if (index === undefined) return []
      const number = indexes.get(bridge)
      const entry =
        number !== undefined && this.#target(keyOf(number, mac)) === index
          ? { bridge: number, mac }
          : undefined
      return present(link, this.#block(index), entry, block => block === number && whole(block) && bridge)
    })
  }

  /** Those of our links. Entries that lead to links that are gone are taken out: their containers died. */
  owned(links: ReturnType<Links['present']>): Row[] {
    if (!this.possible()) return []
    const names = new Map(links.map(({ link, row }) => [link.index, row.name]))
    const entries = this.#entries(names)
    const blocks = new Map(this.#socket.dump(dumpQdiscs()).map(each => [each.index, each.ingressBlock]))
    const whole = this.#wholeness()
    return [...names].flatMap(([index, link]) =>
      present(
        link,
        blocks.get(index),
        entries.get(index),
        block => whole(block) && (names.get(block) ?? false),
      ),
    )
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
          if (was?.kind === 'shortcut') this.#drop({ ...row, mac: was.mac }, indexes)
          this.#add(row, indexes)
        })
      report(at)
    }
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
  #open(): bpf.BpfMap {
    this.#map ??=
      this.#adopt() ?? bpf.BpfMap.create({ name: NAME, keySize: 12, valueSize: 4, maxEntries: CONTAINERS })
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

  #target(key: Buffer): number | undefined {
    return this.#open().get(key)?.readUInt32LE()
  }

  /** Entries by the link that they lead to. */
  #entries(links: ReadonlyMap<number, string>): Map<number, Entry> {
    const found = new Map<number, Entry>()
    for (const key of this.#open().keys()) {
      const target = this.#target(key)
      if (target === undefined) continue
      if (links.has(target)) found.set(target, { bridge: key.readUInt32LE(), mac: macOf(key) })
      else this.#open().delete(key)
    }
    return found
  }

  #drop({ link, bridge, mac }: ShortcutRow, indexes: ReadonlyMap<string, number>): void {
    const number = indexes.get(bridge)
    if (number === undefined || mac === '') return
    const key = keyOf(number, mac)
    if (this.#target(key) === indexes.get(link)) this.#open().delete(key)
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
    const value = Buffer.alloc(4)
    value.writeUInt32LE(index)
    this.#open().set(keyOf(number, mac), value)
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

/** The row as far as it is there: a part that isn't, or isn't right, is empty. */
function present(
  link: string,
  block: number | undefined,
  entry: Entry | undefined,
  bridge: (block: number) => string | false,
): ShortcutRow[] {
  if (block === undefined && !entry) return []
  const through = (block !== undefined && bridge(block)) || ''
  return [{ kind: 'shortcut', link, bridge: through, mac: entry?.bridge === block ? (entry?.mac ?? '') : '' }]
}
