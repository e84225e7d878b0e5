import { execFileSync } from 'node:child_process'
import { openKernel } from '../../kernel/index.ts'
import type { Bed } from './contract/subject.ts'

let count = 0

/** Why live tests can't run here; undefined when they can. */
export function obstacle(): string | undefined {
  return process.getuid?.() === 0
    ? undefined
    : 'live kernel tests need root, for they make network namespaces'
}

const lacking = new Map<string, string | undefined>()

/** Why links of a type can’t be made here; undefined when they can. */
export function lacks(type: string): string | undefined {
  if (!lacking.has(type)) lacking.set(type, tried(type))
  return lacking.get(type)
}

/** Whether the kernel makes a link of a type is only known by trying. */
function tried(type: string): string | undefined {
  const name = `ts-test-kernel-${process.pid}-try`
  const args = type === 'vlan' ? ['id', '9'] : []
  const script = `ip link add v0 type bridge && ip link add link v0 name v1 type ${type} ${args.join(' ')}`
  execFileSync('ip', ['netns', 'add', name])
  try {
    execFileSync('ip', ['netns', 'exec', name, 'sh', '-c', script], { stdio: 'pipe' })
    return undefined
  } catch (error) {
    const { stderr } = error as { stderr?: Buffer }
    if (!/Unknown device type/.test(String(stderr))) throw error
    return `this kernel has no ${type} links`
  } finally {
    execFileSync('ip', ['netns', 'del', name])
  }
}

export type LiveBed = Bed & {
  path: string
  /** Runs a program in the namespace and answers what it printed. */
  run(program: string, ...args: string[]): string
  logged: string[]
}

/** A network namespace of its own, with a FORWARD chain in each of the iptables. */
export async function liveBed(): Promise<LiveBed> {
  const name = `ts-test-kernel-${process.pid}-${++count}`
  const path = `/run/netns/${name}`
  const logged: string[] = []
  const containers: string[] = []
  execFileSync('ip', ['netns', 'add', name])
  const run = (program: string, ...args: string[]) =>
    execFileSync('ip', ['netns', 'exec', name, program, ...args], { encoding: 'utf8', stdio: 'pipe' })
  const link = (...args: string[]) => run('ip', 'link', ...args)
  const beyond = (program: string, ...args: string[]) =>
    execFileSync('ip', ['netns', 'exec', `${name}-l`, program, ...args], { encoding: 'utf8', stdio: 'pipe' })
  link('set', 'lo', 'up')
  return {
    path,
    run,
    logged,
    open: () => openKernel({ namespace: path, log: words => logged.push(words) }),
    lose: async name => void link('del', name),
    flush: async () => void run('nft', 'delete', 'table', 'inet', 'tsnet'),
    foreignBridge: async name => void link('add', name, 'type', 'bridge'),
    foreignVeth: async name => void link('add', name, 'type', 'veth', 'peer', 'name', `${name}p`),
    foreignAddress: async (link, address) => void run('ip', 'address', 'add', address, 'dev', link),
    hasLink: async name => {
      const group = run('ip', '-o', 'link', 'show')
        .split('\n')
        .find(line => line.includes(` ${name}:`) || line.includes(` ${name}@`))
      return group !== undefined && !group.includes('group 29812')
    },
    container: async () => {
      if (!containers.includes(`${name}-c`)) {
        containers.push(`${name}-c`)
        execFileSync('ip', ['netns', 'add', `${name}-c`])
      }
      return `${path}-c`
    },
    neighbour: async address => {
      if (!containers.includes(`${name}-l`)) {
        containers.push(`${name}-l`)
        execFileSync('ip', ['netns', 'add', `${name}-l`])
        link('add', 'lan0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', `${name}-l`)
        link('set', 'lan0', 'up')
        beyond('ip', 'link', 'set', 'eth0', 'up')
        // An address that nobody has asked for is learnt from what the LAN is told, too.
        beyond(
          'sysctl',
          '-qw',
          'net.ipv4.conf.eth0.arp_accept=1',
          'net.ipv6.conf.eth0.accept_untracked_na=1',
          'net.ipv6.conf.eth0.forwarding=1',
        )
      }
      beyond('ip', 'address', 'add', address, 'dev', 'eth0', ...(address.includes(':') ? ['nodad'] : []))
      return beyond('cat', '/sys/class/net/eth0/address').trim()
    },
    heard: async address => {
      for (let i = 0; i < 40; i++) {
        const [, mac] = /lladdr (\S+)/.exec(beyond('ip', 'neigh', 'show', address)) ?? []
        if (mac !== undefined) return mac
        await new Promise(done => setTimeout(done, 25))
      }
      return undefined
    },
    lacks,
    firewalls: async () => {
      for (const program of ['iptables-legacy', 'ip6tables-legacy']) run(program, '-L', 'FORWARD')
      for (const program of ['iptables-nft', 'ip6tables-nft']) run(program, '-P', 'FORWARD', 'ACCEPT')
    },
    dispose: async () => {
      for (const each of [...containers, name]) execFileSync('ip', ['netns', 'del', each])
    },
  }
}
