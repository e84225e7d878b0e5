import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { Row, SysctlRow } from '../core/rows.ts'
import type { Ordered } from './order.ts'
import { about } from './order.ts'
import { failure, type Report, type Room } from './room.ts'

/** Docker mounts /proc/sys read-only for a managed plugin, whose config.json brings the host's own here. */
const ASIDE = '/host/proc/sys'
const root = existsSync(`${ASIDE}/net`) ? ASIDE : '/proc/sys'

/** A sysctl's file; /proc/sys/net shows the namespace of the thread that opens it. */
const file = (key: string) => `${root}/${key}`

/** The value with single spaces between its words; undefined when there is no such sysctl here. */
export function sysctl(key: string): string | undefined {
  try {
    return readFileSync(file(key), 'utf8').trim().replace(/\s+/g, ' ')
  } catch (error) {
    if (failure(error).code === 'ENOENT') return undefined
    throw error
  }
}

/** The link that a sysctl belongs to: `net/ipv4/conf/LINK/…`. */
export function linkOf(key: string): string | undefined {
  const link = /^net\/ipv[46]\/(?:conf|neigh)\/([^/]+)\//.exec(key)?.[1]
  return link === 'all' || link === 'default' ? undefined : link
}

export class Sysctls implements Room {
  readonly #turned: (key: string, value: string) => void

  /** `turned` hears of each value that was changed by us. */
  constructor(turned: (key: string, value: string) => void) {
    this.#turned = turned
  }

  read(rows: readonly Row[]): Row[] {
    return rows.flatMap(row => {
      const value = row.kind === 'sysctl' ? sysctl(row.key) : undefined
      return value === undefined ? [] : { ...(row as SysctlRow), value }
    })
  }

  apply(steps: Ordered, report: Report): void {
    for (const { at, step } of about(steps, 'sysctl')) {
      try {
        this.#write(step.verb === 'delete' ? usual(step.row) : step.row)
        report(at)
      } catch (error) {
        report(at, failure(error))
      }
    }
  }

  #write({ key, value }: SysctlRow): void {
    const was = sysctl(key)
    if (was === value) return
    writeFileSync(file(key), value, { flag: 'r+' })
    this.#turned(key, value)
  }
}

/** A link's sysctl as new links have it; those that nobody has a default for stay. */
function usual(row: SysctlRow): SysctlRow {
  const value = sysctl(row.key.replace(/\/conf\/[^/]+\//, '/conf/default/'))
  return value === undefined ? row : { ...row, value }
}
