import { spawnSync } from 'node:child_process'
import type { Failure } from './room.ts'

/** What nft prints for the errnos that a well-formed script can meet. */
const ERRNO: Record<string, string> = {
  'No such file or directory': 'ENOENT',
  'File exists': 'EEXIST',
  'Device or resource busy': 'EBUSY',
  'Operation not permitted': 'EPERM',
  'Operation not supported': 'EOPNOTSUPP',
  'Numerical result out of range': 'ERANGE',
  'Cannot allocate memory': 'ENOMEM',
}

/** Runs a script as one transaction. A failure tells the line at fault (from 0), when nft could name one. */
export function nft(script: readonly string[]): { line?: number; failure: Failure } | undefined {
  const { error, status, stderr } = spawnSync('nft', ['-f', '-'], {
    input: `${script.join('\n')}\n`,
    encoding: 'utf8',
  })
  if (error)
    return {
      failure: { code: (error as NodeJS.ErrnoException).code ?? 'EIO', words: `nft: ${error.message}` },
    }
  if (status === 0) return undefined
  const [, line, words = stderr.trim()] = /^[^\n]*?:(\d+):\d+(?:-\d+)?: Error: ([^\n]*)/.exec(stderr) ?? []
  const failure = { code: errno(words), words }
  return line === undefined ? { failure } : { line: Number(line) - 1, failure }
}

/** A script that nft itself refuses is no better than an argument that the kernel refuses. */
function errno(words: string): string {
  return ERRNO[Object.keys(ERRNO).find(text => words.includes(text)) ?? ''] ?? 'EINVAL'
}

/** The rules of a chain in words that nft takes back. */
export function listRules(table: string, chain: string): string[] {
  const { stdout } = spawnSync('nft', ['--stateless', 'list', 'chain', 'inet', table, chain], {
    encoding: 'utf8',
  })
  return stdout
    .split('\n')
    .filter(line => line.startsWith('\t\t') && !/^\t\t(type \w+ hook |comment ")/.test(line))
    .map(line => line.trim())
}
