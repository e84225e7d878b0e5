import type { AcceptRow, Row } from '../core/rows.ts'
import type { Generations } from './generations.ts'
import {
  forwardRules,
  inPlace,
  insertion,
  iptables,
  legacyFilter,
  program,
  removal,
  restore,
} from './iptables.ts'
import { about, type Ordered } from './order.ts'
import type { Failure, Report, Room } from './room.ts'

const FAMILIES = ['ipv4', 'ipv6'] as const

/** Our rules in the FORWARD chains of iptables. */
export class Accepts implements Room {
  readonly #nftFilter: (family: AcceptRow['family']) => boolean

  readonly #generations: Generations

  /** `nftFilter` tells whether `ip filter` or `ip6 filter` has a FORWARD chain. */
  constructor(generations: Generations, nftFilter: (family: AcceptRow['family']) => boolean) {
    this.#generations = generations
    this.#nftFilter = nftFilter
  }

  /** One row for each FORWARD chain there is. */
  possible(): AcceptRow[] {
    const row = (backend: AcceptRow['backend'], family: AcceptRow['family']): AcceptRow => ({
      kind: 'accept',
      backend,
      family,
    })
    return [
      ...FAMILIES.filter(legacyFilter).map(family => row('legacy', family)),
      ...FAMILIES.filter(this.#nftFilter).map(family => row('nft', family)),
    ]
  }

  read(rows: readonly Row[], owned: boolean): Row[] {
    const asked = rows.filter(row => row.kind === 'accept')
    if (asked.length === 0 && !owned) return []
    const wanted = (row: AcceptRow) =>
      owned || asked.some(({ backend, family }) => backend === row.backend && family === row.family)
    return this.possible().filter(row => wanted(row) && inPlace(forwardRules(row) ?? []))
  }

  apply(steps: Ordered, report: Report): void {
    for (const { at, step } of about(steps, 'accept')) {
      report(at, step.verb === 'delete' ? this.#remove(step.row) : this.#insert(step.row))
    }
  }

  #insert(row: AcceptRow): Failure | undefined {
    return this.#change(row, insertion(forwardRules(row) ?? []))
  }

  #remove(row: AcceptRow): Failure | undefined {
    const there = this.possible().some(each => program(each) === program(row))
    return there ? this.#change(row, removal(forwardRules(row) ?? [])) : undefined
  }

  /** All at once: between the old rules' end and the new ones' begin, packets would meet the policy DROP. */
  #change(row: AcceptRow, lists: readonly string[][]): Failure | undefined {
    if (lists.length === 0) return undefined
    const result = this.#generations.during(() => restore(program(row), lists))
    return result.ok ? undefined : result.failure
  }

  /**
   * A host that was no router must not become one for everybody because we turn forwarding on: what isn't ours (or
   * Docker's) is no longer forwarded. Docker does the same. Without iptables there is nobody to say it to.
   */
  closeForward(family: AcceptRow['family']): void {
    const name = family === 'ipv4' ? 'iptables' : 'ip6tables'
    if (!this.#generations.during(() => iptables(name, ['-P', 'FORWARD', 'DROP'])).ok) return
    for (const row of this.possible()) if (row.family === family) this.#insert(row)
  }
}
