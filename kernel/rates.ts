import {
  delRoot,
  dumpQdiscs,
  getRoot,
  NetlinkError,
  type Qdisc,
  type Request,
  readTbf,
  replaceTbf,
  type Socket,
  type Tbf,
  TC_ROOT,
} from '@tsnet/netlink'
import { isAlike } from '../core/rates.ts'
import type { Rate } from '../core/records.ts'
import type { RateRow, Row } from '../core/rows.ts'
import type { Links } from './links.ts'
import { about, type Ordered, type Placed } from './order.ts'
import { failure, type Report, type Room } from './room.ts'

/** Handle of every qdisc that we make (`7473:`, "ts" in ASCII): one under another number is somebody else's. */
const HANDLE = 0x74730000
/** Seconds that a packet waits at most, behind a burst: what the reference plugin of CNI takes. */
const LATENCY = 0.025
const MOST = 0xffffffff

/** A token bucket of ours, for a link that is to send no faster. */
export const limiting = (index: number, { rate, burst }: Rate): Request<undefined> => {
  const limit = Math.min(Math.round(burst + rate * LATENCY), MOST)
  return replaceTbf(index, HANDLE, { rate, burst, limit } satisfies Tbf)
}

/** The rate that a qdisc of ours holds its link to. */
export function rateOf(qdisc: Qdisc): Rate | undefined {
  if (qdisc.kind !== 'tbf' || qdisc.handle !== HANDLE || qdisc.parent !== TC_ROOT) return undefined
  const { rate, burst } = readTbf(qdisc) ?? {}
  return rate === undefined || burst === undefined ? undefined : { rate, burst }
}

/** Token buckets (sch_tbf) at the root of links of ours. */
export class Rates implements Room {
  readonly #socket: Socket
  readonly #links: Links

  constructor(socket: Socket, links: Links) {
    this.#socket = socket
    this.#links = links
  }

  read(rows: readonly Row[], owned: boolean, links: ReturnType<Links['present']> = []): Row[] {
    const asked = new Map(rows.flatMap(row => (row.kind === 'rate' ? [[row.link, row]] : [])))
    const names = new Map([...this.#links.indexes(asked.keys())].map(([name, index]) => [index, name]))
    if (owned) for (const { row, link } of links) names.set(link.index, row.name)
    const found = owned ? this.#socket.dump(dumpQdiscs()) : this.#look([...names.keys()])
    return found.flatMap(qdisc => {
      const [link, rate] = [names.get(qdisc.index), rateOf(qdisc)]
      return link !== undefined && rate ? asWanted({ kind: 'rate', link, ...rate }, asked.get(link)) : []
    })
  }

  /** A link that has none of its own answers with nothing at all. */
  #look(indexes: readonly number[]): Qdisc[] {
    const answers = this.#socket.batch(indexes.map(getRoot))
    return answers.flatMap(answer => (answer instanceof NetlinkError || !answer ? [] : answer))
  }

  apply(steps: Ordered, report: Report): void {
    const all = about(steps, 'rate')
    if (all.length === 0) return
    const indexes = this.#links.indexes(new Set(all.map(({ step }) => step.row.link)))
    for (const { at, step } of all) {
      const index = indexes.get(step.row.link)
      if (index !== undefined) report(at, this.#try(step, index))
      else report(at, step.verb === 'delete' ? undefined : absent(step.row))
    }
  }

  #try({ verb, row }: Placed<RateRow>['step'], index: number) {
    try {
      this.#socket.request(verb === 'delete' ? delRoot(index) : limiting(index, row))
      return undefined
    } catch (error) {
      const isGone = verb === 'delete' && error instanceof NetlinkError && error.code === 'ENOENT'
      return isGone ? undefined : failure(error)
    }
  }
}

/** A burst that the kernel has rounded is the one that was asked for. */
const asWanted = (found: RateRow, asked: RateRow | undefined): RateRow =>
  asked && isAlike(asked, found) ? { ...found, burst: asked.burst } : found

const absent = ({ link }: RateRow) => ({ code: 'ENODEV', words: `no such link: ${link}` })
