import { parseArgs } from 'node:util'
import { Refused } from '../core/errors.ts'
import type * as answers from './answers.ts'
import { keyVerbs } from './operator.ts'
import * as print from './print.ts'

/** What a command asks of the daemon, and how its answer reads. */
export type Ask = { method: string; request: object; print(answer: never): string; json: boolean }

type Options = Record<string, string | boolean | undefined>
type Command = {
  sentence: string
  /** What follows the command's name. */
  usage?: string
  /** Options beside `--json` and `--help`. */
  options?: Record<string, string>
  ask(words: string[], options: Options): Omit<Ask, 'json'>
}

const items =
  <T>(printer: (all: readonly T[]) => string) =>
  ({ items }: { items: T[] }): string =>
    printer(items)

/** A command without arguments. */
const plain = (sentence: string, method: string, printer: (answer: never) => string): Command => ({
  sentence,
  ask(words) {
    none(words)
    return { method: `Operator.${method}`, request: {}, print: printer }
  },
})

export const commands: Record<string, Command> = {
  status: plain('how the daemon is', 'Status', print.status),
  members: plain('hosts of the cluster', 'Members', items<answers.Member>(print.members)),
  networks: plain('networks of this host', 'Networks', items<answers.Network>(print.networks)),
  endpoints: plain(
    'endpoints of these networks, here and on other hosts',
    'Endpoints',
    items<answers.Endpoint>(print.endpoints),
  ),
  fdb: plain(
    'where frames for other hosts go: the table against the kernel',
    'Fdb',
    items<answers.FdbLine>(print.fdb),
  ),
  plan: plain('what would be done in the kernel now', 'Plan', print.plan),
  forget: {
    sentence: 'a host is gone for good: its endpoints go, its addresses pass on to this host',
    usage: 'HOST',
    ask([host, ...rest]) {
      if (host === undefined)
        throw new Refused('forget needs the name or the id of a host; tsnet members lists them')
      none(rest)
      return { method: 'Operator.Forget', request: { host }, print: print.forgotten }
    },
  },
  keys: {
    sentence: 'gossip keys on all hosts; install makes a new one when none is given',
    usage: 'list | install [KEY] | use KEY | remove KEY',
    options: { show: 'whole keys, not their beginnings' },
    ask([verb = 'list', key, ...rest], { show }) {
      none(rest)
      if (!(keyVerbs as readonly string[]).includes(verb))
        throw new Refused(`keys can't "${verb}": it has to be ${keyVerbs.join(', ')}`)
      if (key === undefined && (verb === 'use' || verb === 'remove'))
        throw new Refused(`keys ${verb} needs a key`)
      return {
        method: 'Operator.Keys',
        request: { verb, show: show === true, ...(key !== undefined && { key }) },
        print: print.keys,
      }
    },
  },
}

function none(words: readonly string[]): void {
  if (words.length > 0) throw new Refused(`"${words.join(' ')}" is too much here`)
}

export function help(name?: string): string {
  const chosen = Object.entries(commands).filter(([word]) => name === undefined || word === name)
  const lines = chosen.map(([word, { usage, sentence }]) => [
    ['tsnet', word, usage].filter(Boolean).join(' '),
    sentence,
  ])
  const width = Math.max(...lines.map(([left = '']) => left.length))
  const options = chosen.flatMap(([word, each]) =>
    Object.entries(each.options ?? {}).map(
      ([option, sentence]) => `  --${option}, with ${word}: ${sentence}`,
    ),
  )
  return [
    ...lines.map(([left = '', right]) => `${left.padEnd(width)}  ${right}`),
    '',
    '  --json: the answer as JSON',
    '  --api PATH: socket of the daemon, else TSNET_API',
    ...options,
  ].join('\n')
}

/** What the words of a command line ask for. Refused names what is wrong and what is allowed. */
export function parse(args: readonly string[]): { ask: Ask; api?: string } | { help: string } {
  const [name, ...rest] = args
  if (name === undefined || name === 'help' || name === '--help') return { help: help(rest[0] ?? undefined) }
  const command = commands[name]
  if (!command) throw new Refused(`"${name}" is no command; there are ${Object.keys(commands).join(', ')}`)
  const { words, options } = split(name, command, rest)
  if (options.help) return { help: help(name) }
  const ask = { ...command.ask(words, options), json: options.json === true }
  return { ask, ...(typeof options.api === 'string' && { api: options.api }) }
}

function split(
  name: string,
  { options = {} }: Command,
  args: string[],
): { words: string[]; options: Options } {
  const flags = Object.fromEntries(
    ['json', 'help', ...Object.keys(options)].map(option => [option, { type: 'boolean' as const }]),
  )
  try {
    const { values, positionals } = parseArgs({
      args,
      options: { ...flags, api: { type: 'string' } },
      allowPositionals: true,
      strict: true,
    })
    return { words: positionals, options: values }
  } catch (error) {
    const known = ['json', 'api', ...Object.keys(options)].map(option => `--${option}`).join(', ')
    throw new Refused(`${(error as Error).message.split('.')[0]}; ${name} takes ${known}`)
  }
}
