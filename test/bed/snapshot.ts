import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Host } from './host.ts'

/** Everything countable in a host, as sorted lines by topic: what was there before a test has to be there after it. */
export type Snapshot = Record<string, string[]>

export async function snapshot(host: Host): Promise<Snapshot> {
  const lines = async (...argv: string[]) => {
    const { stdout } = await host.attempt(argv)
    return stdout.split('\n').map(normalise).filter(Boolean)
  }
  const topics: Record<string, Promise<string[]>> = {
    links: lines('ip', '-br', 'link'),
    addresses: lines('ip', '-br', 'address'),
    routes: lines('ip', 'route', 'show', 'table', 'all'),
    nft: lines('nft', '--stateless', 'list', 'ruleset'),
    containers: lines('docker', 'ps', '--all', '--format', '{{.Names}}'),
    networks: lines('docker', 'network', 'ls', '--format', '{{.Name}}'),
  }
  for (const backend of ['legacy', 'nft'])
    for (const family of ['iptables', 'ip6tables'])
      topics[`${family}-${backend}`] = lines(`${family}-${backend}-save`)
  const entries = Object.entries(topics).map(async ([topic, found]) => [topic, (await found).sort()] as const)
  return {
    ...Object.fromEntries(await Promise.all(entries)),
    sandboxes: list(host.path('/run/docker/netns')),
    records: recordCounts(join(host.folder, 'tsnet')),
  }
}

/** Drops what differs between two looks at the same state: counters, dates, interface numbers. */
function normalise(line: string): string {
  if (line.startsWith('#')) return ''
  return line
    .replace(/\[\d+:\d+\]/g, '')
    .replace(/@if\d+|@\S+/g, '')
    .replace(/\bexpires \S+/g, '')
    .trimEnd()
}

/** How many records each table of tsnetd's store holds; read only, beside a daemon that may be running. */
function recordCounts(folder: string): string[] {
  const files = list(folder).filter(name => /\.(db|sqlite3?)$/.test(name))
  return files.flatMap(file => {
    const database = new DatabaseSync(join(folder, file), { readOnly: true })
    try {
      const tables = database.prepare("select name from sqlite_master where type = 'table'").all()
      return tables.map(({ name }) => {
        const row = database.prepare(`select count(*) as count from "${String(name)}"`).get()
        return `${String(name)}: ${String(row?.count)}`
      })
    } finally {
      database.close()
    }
  })
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder).sort()
  } catch {
    return []
  }
}
