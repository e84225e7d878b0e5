import { execFileSync } from 'node:child_process'
import { openKernel } from '../../kernel/index.ts'
import type { Bed } from './contract.ts'

let count = 0

/** Why live tests can't run here; undefined when they can. */
export function obstacle(): string | undefined {
  return process.getuid?.() === 0
    ? undefined
    : 'live kernel tests need root, for they make network namespaces'
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
      if (containers.length === 0) {
        containers.push(`${name}-c`)
        execFileSync('ip', ['netns', 'add', `${name}-c`])
      }
      return `${path}-c`
    },
    firewalls: async () => {
      for (const program of ['iptables-legacy', 'ip6tables-legacy']) run(program, '-L', 'FORWARD')
      for (const program of ['iptables-nft', 'ip6tables-nft']) run(program, '-P', 'FORWARD', 'ACCEPT')
    },
    dispose: async () => {
      for (const each of [...containers, name]) execFileSync('ip', ['netns', 'del', each])
    },
  }
}
