import { run } from './program.ts'
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
  const result = run('nft', ['-f', '-'], `${script.join('\n')}\n`)
  if (result.ok) return undefined
  const [, line, words] = /^[^\n]*?:(\d+):\d+(?:-\d+)?: Error: ([^\n]*)/.exec(result.complaint) ?? []
  if (line === undefined || words === undefined) return { failure: result.failure }
  return { line: Number(line) - 1, failure: { code: errno(words), words } }
}

/** A script that nft itself refuses is no better than an argument that the kernel refuses. */
function errno(words: string): string {
  return ERRNO[Object.keys(ERRNO).find(text => words.includes(text)) ?? ''] ?? 'EINVAL'
}

/** The rules of a chain in words that nft takes back. */
export function listRules(table: string, chain: string): string[] {
  const result = run('nft', ['--stateless', 'list', 'chain', 'inet', table, chain])
  return (result.ok ? result.output : '')
    .split('\n')
    .filter(line => line.startsWith('\t\t') && !/^\t\t(type \w+ hook |comment ")/.test(line))
    .map(line => line.trim())
}
