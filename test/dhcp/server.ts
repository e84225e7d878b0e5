import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { netnsPath, onExit, ownFolder } from '../bed/namespace.ts'
import { until } from '../bed/until.ts'

export type Server = {
  /** Addresses by MAC, as the server has them. */
  leases(): Record<string, string>
  /** What it wrote until now: a client may hear of a deed before this process has read the line about it. */
  log(): string
  stop(): Promise<void>
}

export type Range = {
  namespace: string
  link: string
  range: string
  /** Further options of dnsmasq. */
  options?: readonly string[]
  /** Its leases outlive it in this folder's name. */
  name?: string
}

/** A real server of DHCP, Debian's dnsmasq, on a link in a namespace. Its leases are for two minutes, the least it knows. */
export async function startServer({
  namespace,
  link,
  range,
  options = [],
  name = 'dhcp',
}: Range): Promise<Server> {
  const folder = ownFolder(name)
  mkdirSync(folder, { recursive: true })
  const argv = [
    ...['dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null', '--port=0', '--log-dhcp', '--no-ping'],
    ...['--user=root', '--log-facility=-', '--pid-file', `--dhcp-leasefile=${join(folder, 'leases')}`],
    ...['--dhcp-authoritative', `--interface=${link}`, '--bind-interfaces', `--dhcp-range=${range},2m`],
    ...options,
  ]
  const child = spawn('setpriv', ['--pdeathsig=KILL', 'nsenter', `--net=${netnsPath(namespace)}`, ...argv], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const release = onExit(() => child.kill('SIGKILL'))
  let log = ''
  child.stderr.on('data', chunk => {
    log += chunk
  })
  await until('dnsmasq to serve', () => alive(child, log) && /DHCP, IP range/.test(log))
  return {
    leases: () => leasesIn(join(folder, 'leases')),
    log: () => log,
    async stop() {
      child.kill('SIGTERM')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      release()
    },
  }
}

/** What is left of servers of that name. */
export const forgetServers = (name = 'dhcp') => rmSync(ownFolder(name), { recursive: true, force: true })

function alive(child: ChildProcess, log: string): true {
  if (child.exitCode !== null) throw new Error(`dnsmasq ended with ${child.exitCode}: ${log}`)
  return true
}

/** Lines of `expiry MAC address name client`. */
function leasesIn(path: string): Record<string, string> {
  const lines = readFileSync(path, 'utf8').split('\n').filter(Boolean)
  return Object.fromEntries(lines.map(line => line.split(' ').slice(1, 3)))
}
