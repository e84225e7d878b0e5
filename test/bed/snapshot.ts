import { readFileSync } from 'node:fs'
import type { Host } from './host.ts'
import { records } from './records.ts'

/** Everything countable in a host, as sorted lines by topic: what was there before a test has to be there after it. */
export type Snapshot = Record<string, string[]>

/** Costs three processes: everything is asked of one `ip` and one `nft`, which shows the rules of iptables-nft, too. */
export async function snapshot(host: Host): Promise<Snapshot> {
  const lines = async (...argv: string[]) => split((await host.attempt(argv)).stdout)
  const [network, nft, legacy, containers, networks] = await Promise.all([
    host.attempt(['ip', '-o', '-b', '-'], { input: questions }),
    lines('nft', '--stateless', 'list', 'ruleset'),
    legacyFamilies(host).map(family => lines(`${family}-legacy-save`)),
    host.api.listContainers({ all: true }),
    host.api.listNetworks(),
  ])
  return {
    network: split(network.stdout),
    nft,
    legacy: (await Promise.all(legacy)).flat(),
    containers: containers.flatMap(container => container.Names).sort(),
    networks: networks.map(found => found.Name).sort(),
    sandboxes: sandboxes(host),
    records: records(host),
  }
}

const questions = ['link show', 'address show', 'route show table all', ''].join('\n')

/** Network namespaces that the engine holds. Their files alone say nothing: Docker removes them once a minute. */
function sandboxes(host: Host): string[] {
  const mounts = content(`/proc/${host.holder.pid}/mountinfo`).split('\n')
  return mounts.flatMap(line => / (\S+\/docker\/netns\/\S+) .* - nsfs /.exec(line)?.[1] ?? []).sort()
}

/** What differs, as `+topic: line` and `-topic: line`. */
export function changes(before: Snapshot, after: Snapshot): string[] {
  return Object.keys(after).flatMap(topic => {
    const [was, is] = [before[topic] ?? [], after[topic] ?? []]
    return [
      ...without(was, is).map(line => `-${topic}: ${line}`),
      ...without(is, was).map(line => `+${topic}: ${line}`),
    ]
  })
}

/** The first list less the second, line by line: a line that is there twice and was there once is left once. */
function without(lines: readonly string[], others: readonly string[]): string[] {
  const left = [...others]
  return lines.filter(line => {
    const at = left.indexOf(line)
    if (at >= 0) left.splice(at, 1)
    return at < 0
  })
}

const split = (text: string) => text.split('\n').map(normalise).filter(Boolean).sort()

/**
 * Drops what differs between two looks at the same state: counters, dates, interface numbers, lifetimes, and whether a cable is
 * plugged into a bridge just now (the kernel gives its multicast route late). dockerd puts its jump to DOCKER-USER in anew with each
 * network, and twice when two are made at once.
 */
function normalise(line: string): string {
  if (line.startsWith('#') || line.startsWith('multicast ff00::/8') || / DOCKER-USER$/.test(line)) return ''
  return line
    .replace(/NO-CARRIER,|,LOWER_UP| linkdown\b| state \S+/g, '')
    .replace(/^\d+: /, '')
    .replace(/\[\d+:\d+\]/g, '')
    .replace(/@if\d+|@\S+/g, '')
    .replace(/\b(expires|valid_lft|preferred_lft|qlen) \S+/g, '')
    .trimEnd()
}

/** iptables-legacy makes its tables when it is asked for them, so the kernel is asked first. */
function legacyFamilies(host: Host): string[] {
  const names = { iptables: 'ip_tables_names', ip6tables: 'ip6_tables_names' }
  return Object.entries(names).flatMap(([family, file]) =>
    content(`/proc/${host.holder.pid}/net/${file}`) === '' ? [] : family,
  )
}

function content(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return ''
  }
}
