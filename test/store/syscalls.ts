import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** What a process did to a directory, in order. `told` is what it wrote to its standard output. */
export type Call =
  | { name: 'write'; path: string; at: number | undefined; bytes: Buffer }
  | { name: 'truncate'; path: string; length: number }
  | { name: 'flush'; path: string }
  | { name: 'create' | 'mkdir' | 'unlink'; path: string }
  | { name: 'rename'; path: string; to: string }
  | { name: 'told'; text: string }

const traced =
  'write,pwrite64,fsync,fdatasync,ftruncate,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,openat'

/** Runs node with a program under strace(1) and returns what it did below `directory`. */
export function trace(program: string, args: readonly string[], log: string, directory: string): Call[] {
  // libuv would do fdatasync by io_uring, where strace sees nothing.
  const env = { ...process.env, UV_USE_IO_URING: '0' }
  const options = ['-f', '--seccomp-bpf', '-y', '-xx', '-s', '100000', '-e', `trace=${traced}`, '-o', log]
  const run = spawnSync('strace', [...options, process.execPath, program, ...args], { env, encoding: 'utf8' })
  if (run.status !== 0) throw new Error(`strace: ${run.error?.message ?? run.stderr}`)
  return whole(readFileSync(log, 'utf8').split('\n')).flatMap(line => parse(line, directory) ?? [])
}

/** A call that another thread interrupted is printed in two halves; it counts when it ended. */
function whole(lines: readonly string[]): string[] {
  const begun = new Map<string, string>()
  return lines.flatMap(line => {
    const [, thread = '', rest = ''] = /^(\d+)\s+(.*)$/.exec(line) ?? []
    if (rest.endsWith('<unfinished ...>')) {
      begun.set(thread, rest.slice(0, -'<unfinished ...>'.length).trimEnd())
      return []
    }
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)
    return [resumed ? (begun.get(thread) ?? '') + resumed[1] : rest]
  })
}

function parse(line: string, directory: string): Call | undefined {
  const [, name = '', args = '', result = ''] = /^(\w+)\((.*)\)\s+= (-?\d+)/.exec(line) ?? []
  if (Number(result) < 0) return undefined
  const [file = ''] = [...args.matchAll(/<((?:\\x[0-9a-f]{2})+)>/g)].map(match => text(match[1]))
  const [first = '', second = ''] = [...args.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map(
    match => match[1] ?? '',
  )
  if (name === 'write' && args.startsWith('1<')) return { name: 'told', text: text(first) }
  const call = meaning({ name, args, file, first, second })
  if (!call || call.name === 'told') return call
  return call.path.startsWith(directory) && !/-shm$|\/lock$/.test(call.path) ? call : undefined
}

type Words = { name: string; args: string; file: string; first: string; second: string }

function meaning({ name, args, file, first, second }: Words): Call | undefined {
  const last = Number(/(\d+)$/.exec(args)?.[1])
  if (name === 'write') return { name: 'write', path: file, at: undefined, bytes: bytes(first) }
  if (name === 'pwrite64') return { name: 'write', path: file, at: last, bytes: bytes(first) }
  if (name === 'ftruncate') return { name: 'truncate', path: file, length: Number(args.split(', ')[1]) }
  if (name === 'fsync' || name === 'fdatasync') return { name: 'flush', path: file }
  if (name === 'openat') return args.includes('O_CREAT') ? { name: 'create', path: text(first) } : undefined
  if (name.startsWith('mkdir')) return { name: 'mkdir', path: text(first) }
  if (name.startsWith('rename')) return { name: 'rename', path: text(first), to: text(second) }
  if (name.startsWith('unlink') || name === 'rmdir') return { name: 'unlink', path: text(first) }
  return undefined
}

const bytes = (escaped: string) => Buffer.from(escaped.replaceAll('\\x', ''), 'hex')
const text = (escaped = '') => bytes(escaped).toString()
