import { StepError } from '../core/errors.ts'

/** Result codes of SQLite that are told apart here (https://sqlite.org/rescode.html). */
export const sqlite = {
  PERM: 3,
  BUSY: 5,
  READONLY: 8,
  IOERR: 10,
  FULL: 13,
  CANTOPEN: 14,
  SHORT_READ: 522,
} as const

/** The records can't be what was written. */
export class Damaged extends Error {
  override name = 'Damaged'
}

export function isSqlite(error: unknown, ...codes: number[]): boolean {
  const code = errcode(error)
  return code !== undefined && (codes.includes(code) || codes.includes(code & 0xff))
}

/** Whether the file is to blame for what SQLite said about it, rather than the disk or its permissions. */
export function blamesFile(error: unknown): boolean {
  if (isSqlite(error, sqlite.SHORT_READ)) return true
  const { PERM, BUSY, READONLY, IOERR, FULL, CANTOPEN } = sqlite
  return errcode(error) !== undefined && !isSqlite(error, PERM, BUSY, READONLY, IOERR, FULL, CANTOPEN)
}

/** One sentence for the operator about a disk that can't be used. Errors of other kinds are returned as they are. */
export function explain(error: unknown, directory: string): unknown {
  const step = `keep records in ${directory}`
  const words = error instanceof Error ? error.message : String(error)
  if (isSqlite(error, sqlite.FULL) || isErrno(error, 'ENOSPC', 'EDQUOT')) {
    return new StepError(step, 'ENOSPC', 'no space is left: free some and ask again')
  }
  if (isSqlite(error, sqlite.READONLY) || isErrno(error, 'EROFS')) {
    return new StepError(
      step,
      'EROFS',
      'it is read-only: mount it read-write or set TSNET_STATE to another directory',
    )
  }
  if (
    isSqlite(error, sqlite.CANTOPEN, sqlite.PERM) ||
    isErrno(error, 'EACCES', 'EPERM', 'ENOTDIR', 'EEXIST')
  ) {
    return new StepError(
      step,
      'EACCES',
      `it can't be opened or made (${words}): set TSNET_STATE to a directory of root's`,
    )
  }
  if (isSqlite(error, sqlite.IOERR) || isErrno(error, 'EIO')) {
    return new StepError(step, 'EIO', `the disk fails (${words})`)
  }
  return error
}

function isErrno(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(error.code as string)
}

function errcode(error: unknown): number | undefined {
  return error instanceof Error && 'errcode' in error ? (error.errcode as number) : undefined
}
