import { accessSync, constants, existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import type { Store } from '../core/faces.ts'
import { type Contents, makeContents, readContents, salvage } from './contents.ts'
import { DiskStore, type StoreSettings } from './disk.ts'
import { lock } from './lock.ts'
import { Damaged, explain } from './trouble.ts'

export type DurableStore = Store & {
  /**
   * One sentence for the operator when records were found damaged, now or at an earlier start. While it is there `records` may
   * lack some: what is in the kernel and has no record must be left alone, and addresses may be in use without a lease.
   */
  readonly complaint?: string
}

/**
 * Opens the records in a directory, which is made (0700) when it isn't there.
 *
 * Damaged records are set aside: their directory is renamed to `records.damaged-1` and kept as it is; each record that its own
 * checksum still vouches for is carried over. `complaint` tells so at this and every later start, until somebody has moved
 * the renamed directory away: a restart must not turn a loss into a fact.
 *
 * @throws Refused when another process has the directory or a newer version wrote it; StepError when the disk is read-only, full
 * or failing. In all of these nothing was changed.
 */
export function openStore(directory: string, settings: StoreSettings = {}): DurableStore {
  try {
    return open(directory, settings)
  } catch (error) {
    throw explain(error, directory)
  }
}

function open(directory: string, settings: StoreSettings): DurableStore {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  // SQLite calls a file that it can't make "unable to open", whatever the reason.
  accessSync(directory, constants.W_OK)
  const held = lock(directory)
  try {
    const path = join(directory, 'records')
    const { contents, reason } = load(directory, path)
    const complaint = complain(directory, contents, reason)
    return new DiskStore({
      directory,
      path,
      contents,
      held,
      ...settings,
      ...(complaint ? { complaint } : {}),
    })
  } catch (error) {
    held.release()
    throw error
  }
}

function load(directory: string, path: string): { contents: Contents; reason?: string } {
  // Records are missing at the first start, and when a start died after it had set some aside: those are carried over then.
  if (!existsSync(path)) carryOver(directory, path)
  try {
    return { contents: readContents(path) }
  } catch (error) {
    if (!(error instanceof Damaged)) throw error
    const last = setAside(directory).at(-1) ?? 0
    renameSync(path, `${path}.damaged-${last + 1}`)
    carryOver(directory, path)
    return { contents: readContents(path), reason: error.message }
  }
}

function carryOver(directory: string, path: string): void {
  const newest = setAside(directory).at(-1)
  makeContents(path, newest === undefined ? [] : salvage(`${path}.damaged-${newest}`))
}

/** Numbers of the directories that were set aside and that nobody has moved away, ascending. */
function setAside(directory: string): number[] {
  const numbers = readdirSync(directory).map(name => Number(/^records\.damaged-(\d+)$/.exec(name)?.[1]))
  return numbers.filter(Number.isInteger).sort((a, b) => a - b)
}

function complain(directory: string, { records }: Contents, reason?: string): string | undefined {
  const damaged = setAside(directory).map(number => join(directory, `records.damaged-${number}`))
  if (damaged.length === 0) return undefined
  const kept = Object.values(records).reduce((sum, rows) => sum + rows.size, 0)
  const why = reason ? `are damaged (${reason})` : 'were damaged at an earlier start'
  return (
    `The records in ${directory} ${why}: they were set aside in ${damaged.join(', ')}, ${kept} that can be trusted are in use. ` +
    'What runs is left as it is. When networks and containers are as they should be, move what was set aside away and restart.'
  )
}
