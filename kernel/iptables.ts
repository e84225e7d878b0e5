import { readFileSync } from 'node:fs'
import type { AcceptRow } from '../core/rows.ts'
import { LINK_GROUP } from './names.ts'
import { type Ran, run } from './program.ts'

/** The two rules that leave our bridges to our own table, as `iptables -S` prints them but for the chain. */
const RULES = ['src', 'dst'].map(side => [
  '-m',
  'devgroup',
  `--${side}-group`,
  `0x${LINK_GROUP.toString(16)}`,
  '-j',
  'ACCEPT',
])

/** The program for a backend and family. */
export function program({ backend, family }: AcceptRow): string {
  return `${family === 'ipv4' ? 'iptables' : 'ip6tables'}-${backend}`
}

const dockers = (rules: readonly string[]) => rules.findIndex(rule => / -j DOCKER(?!-USER$)/.test(rule))

/**
 * Where our rules belong, counted from 1: right after the jump to DOCKER-USER, whose rules stay in force; but always
 * before the rest of Docker, which drops what isn't its own; else first.
 */
export function position(rules: readonly string[]): number {
  const user = rules.indexOf('-A FORWARD -j DOCKER-USER')
  const docker = dockers(rules)
  if (user >= 0 && (docker < 0 || user < docker)) return user + 2
  return docker < 0 ? 1 : docker + 1
}

/**
 * Whether both of our rules take effect. Docker puts its own chains in front of everything at each start, and those drop
 * what isn't its own; what an administrator puts in front of us is meant to be there.
 */
export function inPlace(rules: readonly string[]): boolean {
  const ours = rules.flatMap((rule, at) => (isOurs(rule) ? at : []))
  const docker = dockers(rules)
  return ours.length === RULES.length && (docker < 0 || ours.every(at => at < docker))
}

const isOurs = (rule: string) => RULES.some(words => rule === `-A FORWARD ${words.join(' ')}`)

/** Argument lists that put our rules into their place, whatever is left of earlier ones. */
export function insertion(rules: readonly string[]): string[][] {
  const others = rules.filter(rule => !isOurs(rule))
  const at = position(others)
  return [...removal(rules), ...RULES.map((words, i) => ['-I', 'FORWARD', String(at + i), ...words])]
}

/** Argument lists that take away every rule of ours. */
export function removal(rules: readonly string[]): string[][] {
  return rules.filter(isOurs).map(rule => ['-D', 'FORWARD', ...rule.split(' ').slice(2)])
}

/** Runs one iptables program; waits for its lock up to 5 s. */
export function iptables(name: string, args: readonly string[]): Ran {
  return run(name, ['-w', '5', ...args])
}

/** Runs argument lists for table `filter` as one transaction; nothing else in it changes. */
export function restore(name: string, lists: readonly string[][]): Ran {
  const lines = ['*filter', ...lists.map(args => args.join(' ')), 'COMMIT', '']
  return run(`${name}-restore`, ['-w', '5', '--noflush'], lines.join('\n'))
}

/** The rules of FORWARD, or undefined when they can't be read. */
export function forwardRules(row: AcceptRow): string[] | undefined {
  const result = iptables(program(row), ['-S', 'FORWARD'])
  return result.ok ? result.output.split('\n').filter(line => line.startsWith('-A ')) : undefined
}

/** iptables-legacy makes its tables when it first looks at them, so it is the kernel that is asked. */
export function legacyFilter(family: AcceptRow['family']): boolean {
  const file = `/proc/thread-self/net/${family === 'ipv4' ? 'ip' : 'ip6'}_tables_names`
  try {
    return readFileSync(file, 'utf8').split('\n').includes('filter')
  } catch {
    return false
  }
}
