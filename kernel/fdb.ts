import {
  appendFdb,
  delFdb,
  dumpFdb,
  getFdb,
  type Neighbour,
  NetlinkError,
  NTF,
  NUD,
  type Request,
  replaceFdbs,
  type Socket,
} from '@tsnet/netlink'
import { EVERYBODY, type FdbRow, type Row } from '../core/rows.ts'
import { isMac, plain } from './fields.ts'
import { Known } from './known.ts'
import type { Links } from './links.ts'
import { about, type Ordered, type Placed, parts } from './order.ts'
import { type Failure, failure, type Report, type Room } from './room.ts'
import type { Shortcuts } from './shortcuts.ts'

/** So many entries of one link are looked up one by one; for more, all of the link are read. */
export const FEW = 64

/** Neither ages (NOARP). NUD.PERMANENT would make the bridge take the MAC for one of the host's own (fdb_add_entry). */
const STATIC = NUD.NOARP | NUD.REACHABLE
/** Both tables by one message; STICKY: a container that sends in the MAC's name doesn't take it over (br_fdb_update). */
const BOTH = NTF.SELF | NTF.MASTER | NTF.STICKY

/** What the two tables say of one MAC. */
type Entry = { mac: string; to: string[]; behind: boolean }

/** MACs behind tunnels: entries of VXLAN links, each with that of the bridge. */
export class Fdb implements Room {
  readonly known = new Known()
  readonly #socket: Socket
  readonly #links: Links
  readonly #shortcuts: Shortcuts

  constructor(socket: Socket, links: Links, shortcuts: Shortcuts) {
    this.#socket = socket
    this.#links = links
    this.#shortcuts = shortcuts
  }

  read(rows: readonly Row[], owned: boolean, links: ReturnType<Links['present']> = []): Row[] {
    const asked = Map.groupBy(
      rows.filter(row => row.kind === 'fdb'),
      row => row.link,
    )
    const indexes = owned
      ? new Map(links.flatMap(({ row, link }) => (row.type === 'vxlan' ? [[row.name, link.index]] : [])))
      : this.#links.indexes(asked.keys())
    return [...indexes].flatMap(([link, index]) => this.#ofLink(link, index, asked.get(link) ?? [], owned))
  }

  #ofLink(link: string, index: number, asked: readonly FdbRow[], owned: boolean): FdbRow[] {
    const whole = owned || asked.length > FEW || asked.some(row => row.mac === EVERYBODY)
    const entries = whole ? this.#dump(index) : this.#look(index, asked)
    const spelt = new Map(asked.map(row => [identity(row.mac, row.to), row]))
    const macs = new Set(asked.map(row => row.mac))
    const rows = entries
      .filter(({ mac }) => owned || macs.has(mac))
      .flatMap(entry => shown(entry).map(to => ({ kind: 'fdb' as const, link, mac: entry.mac, to })))
    const known = this.known.at(index)
    for (const { mac, to } of rows) known.set(what(mac, to), plain(to) ?? '')
    return rows.flatMap(row => spelt.get(identity(row.mac, row.to)) ?? (keep(row, macs, owned) ? row : []))
  }

  #dump(index: number): Entry[] {
    return gather(this.#socket.dump(dumpFdb({ index })))
  }

  #look(index: number, asked: readonly FdbRow[]): Entry[] {
    const answers = this.#socket.batch(
      asked.flatMap(({ mac }) => [
        getFdb({ index, lladdr: mac, flags: NTF.SELF }),
        getFdb({ index, lladdr: mac, flags: NTF.MASTER }),
      ]),
    )
    const found = answers.flatMap(answer => (answer instanceof NetlinkError ? [] : answer))
    return gather(found.filter(answer => answer.index === index))
  }

  /** Whether an announcement tells of another entry than the one that we know of. */
  isNews({ index, lladdr = '', dst = '', master }: Neighbour, gone: boolean): boolean {
    const entry = what(lladdr, dst)
    const value = master === undefined ? plain(dst) : this.known.of(index, entry)
    return this.known.differs(index, entry, gone ? undefined : value)
  }

  apply(steps: Ordered, report: Report): void {
    const all = about(steps, 'fdb')
    if (all.length === 0) return
    const links = this.#tables(all)
    for (const part of parts(all)) this.#send(part, links, report)
    for (const [link, { index }] of links) {
      const mine = all.filter(({ step: { row } }) => row.link === link && row.mac !== EVERYBODY)
      const [leaving, coming] = split(mine, ({ step }) => step.verb === 'delete')
      this.#shortcuts.leave(index, leaving)
      this.#shortcuts.lead(index, coming)
    }
  }

  #send(steps: readonly Placed<FdbRow>[], links: ReadonlyMap<string, Table>, report: Report): void {
    const ready: Ready[] = []
    const messages: Request<undefined>[] = []
    for (const { at, step } of steps) {
      const table = links.get(step.row.link)
      const found = obstacle(step.row, table)
      if (found || !table) report(at, step.verb === 'delete' ? undefined : found)
      else ready.push({ at, step, table, end: write(step, table, messages) })
    }
    const outcomes = this.#socket.batch(messages)
    let next = 0
    for (const { at, step, table, end } of ready) {
      let error: NetlinkError | undefined
      for (; next < end; next++) error ??= refusal(step.verb, outcomes[next])
      note(step, table)
      report(at, error && failure(error))
    }
  }

  /** The links that these steps are about, by name. */
  #tables(steps: readonly Placed<FdbRow>[]): Map<string, Table> {
    const indexes = this.#links.indexes(new Set(steps.map(({ step }) => step.row.link)))
    return new Map([...indexes].map(([link, index]) => [link, tableOf(index, this.known)]))
  }
}

/** MACs of the steps that are so, and of the others. */
function split(
  steps: readonly Placed<FdbRow>[],
  is: (step: Placed<FdbRow>) => boolean,
): [string[], string[]] {
  const { true: these = [], false: others = [] } = Object.groupBy(steps, step => `${is(step)}` as const)
  const macs = (list: readonly Placed<FdbRow>[]) => list.map(({ step }) => step.row.mac)
  return [macs(these), macs(others)]
}

/** One link's entries: how to write one, and what is known of them. */
type Table = {
  index: number
  replace: ReturnType<typeof replaceFdbs>
  known: Map<string, string>
}

const tableOf = (index: number, known: Known): Table => ({
  index,
  replace: replaceFdbs({ index, state: STATIC, flags: BOTH }),
  known: known.at(index),
})

/** A step that can be sent; `end` is where its messages end. */
type Ready = Placed<FdbRow> & { table: Table; end: number }

/** What isn't there needs no deleting. */
const refusal = (verb: string, outcome: NetlinkError | undefined) =>
  outcome && !(verb === 'delete' && outcome.code === 'ENOENT') ? outcome : undefined

function obstacle({ link, mac, to }: FdbRow, table: Table | undefined): Failure | undefined {
  if (!isMac(mac)) return { code: 'EINVAL', words: `'${mac}' is no MAC` }
  if (!plain(to)) return { code: 'EINVAL', words: `'${to}' is no address` }
  return table === undefined ? { code: 'ENODEV', words: `no such link: ${link}` } : undefined
}

/** Adds a step's messages to those that are sent; answers how many there are now. */
function write(
  { verb, row: { mac, to } }: Placed<FdbRow>['step'],
  { index, replace }: Table,
  messages: Request<undefined>[],
): number {
  const entry = { index, lladdr: mac }
  if (mac === EVERYBODY)
    return messages.push(verb === 'delete' ? delFdb({ ...entry, dst: to }) : appendFdb({ ...entry, dst: to }))
  if (verb !== 'delete') return messages.push(replace(mac, to))
  // Apart, for where the first is missing the kernel doesn't look for the second (rtnl_fdb_del).
  return messages.push(delFdb({ ...entry, flags: NTF.MASTER }), delFdb({ ...entry, flags: NTF.SELF }))
}

function note({ verb, row: { mac, to } }: Placed<FdbRow>['step'], { known }: Table): void {
  if (verb === 'delete') known.delete(what(mac, to))
  else known.set(what(mac, to), plain(to) ?? '')
}

/** The bridge's entries tell their bridge, the link's own their destination. */
function gather(entries: readonly Neighbour[]): Entry[] {
  const found = new Map<string, Entry>()
  for (const { lladdr = '', dst, master, state } of entries) {
    if (master !== undefined && (state & NUD.NOARP) === 0) continue
    const entry = found.get(lladdr) ?? { mac: lladdr, to: [], behind: false }
    found.set(lladdr, entry)
    if (master !== undefined) entry.behind = true
    else if (dst !== undefined) entry.to.push(dst)
  }
  return [...found.values()]
}

function shown({ mac, to, behind }: Entry): string[] {
  if (mac === EVERYBODY) return to
  return [behind ? (to[0] ?? '') : '']
}

/** One destination of the all-zero MAC is a row, whichever others there are. */
const keep = ({ mac }: FdbRow, asked: ReadonlySet<string>, owned: boolean) =>
  owned || (mac !== EVERYBODY && asked.has(mac))

/** What tells an entry from others: everybody may be at many places. */
const what = (mac: string, to: string) => (mac === EVERYBODY ? `${mac} ${plain(to)}` : mac)
const identity = (mac: string, to: string) => `${mac} ${plain(to) ?? ''}`
