import type { ChainRow, ElementRow, SetRow, Step } from '../core/rows.ts'
import { key } from '../core/rows.ts'
import { encodeFields } from './fields.ts'
import { fail, type World } from './world.ts'

/** Chains as one apply() is about to leave them; undefined where it deletes them. */
export type Plan = ReadonlyMap<string, ChainRow | undefined>

export function chain(world: World, verb: Step['verb'], row: ChainRow, plan: Plan): unknown {
  const { chains, sets } = world
  if (verb === 'delete') return deleteChain(world, row.name, plan)
  if (verb === 'add' && chains.has(row.name)) fail('EEXIST', 'the chain is there')
  if (verb === 'set' && !chains.has(row.name)) fail('ENOENT', 'no such chain')
  const uses = references(row.rules)
  for (const name of uses.sets) if (!sets.has(name)) fail('ENOENT', `no such set ${name}`)
  for (const name of uses.chains) {
    if (!chains.has(name) && !plan.get(name)) fail('ENOENT', `no such chain ${name}`)
  }
  chains.set(row.name, row)
}

function deleteChain(world: World, name: string, plan: Plan): void {
  const { chains, elements } = world
  const staying = [...chains.values()].map(chain => (plan.has(chain.name) ? plan.get(chain.name) : chain))
  const jumps = staying.some(chain => references(chain?.rules ?? []).chains.has(name))
  const verdicts = [...elements.values()].some(({ value }) => references(value ?? []).chains.has(name))
  if (jumps || verdicts) fail('EBUSY', 'the chain is in use')
  chains.delete(name)
}

export function set(world: World, verb: Step['verb'], row: SetRow): void {
  const { chains, sets, elements } = world
  if (verb === 'add' && sets.has(row.name)) fail('EEXIST', 'the set is there')
  const used = [...chains.values()].some(chain => references(chain.rules).sets.has(row.name))
  if (verb === 'delete' && used) fail('EBUSY', 'the set is in use')
  for (const [at, element] of elements) if (element.set === row.name) elements.delete(at)
  verb === 'delete' ? sets.delete(row.name) : sets.set(row.name, row)
}

export function element(world: World, verb: Step['verb'], row: ElementRow): unknown {
  const { elements } = world
  if (verb === 'delete') return elements.delete(key(row))
  checkElement(world, row)
  if (verb === 'add' && elements.has(key(row))) fail('EEXIST', 'the element is there')
  elements.set(key(row), row)
}

function checkElement(world: World, row: ElementRow): void {
  const set = world.sets.get(row.set) ?? fail('ENOENT', `no such set ${row.set}`)
  if (!encodeFields(set.type, row.key, set.interval ?? false)) fail('EINVAL', 'the key does not fit the set')
  if ((set.value === undefined) !== (row.value === undefined))
    fail('EINVAL', 'the value does not fit the set')
  if (set.value === undefined || row.value === undefined) return
  if (set.value !== 'verdict' && !encodeFields(set.value, row.value, false))
    fail('EINVAL', 'the value does not fit the set')
  for (const name of references(row.value).chains) {
    if (!world.chains.has(name)) fail('ENOENT', `no such chain ${name}`)
  }
}

/** Names that rules or verdicts refer to; `@th,96,24` are bytes of a packet. */
export function references(rules: readonly string[]): { sets: Set<string>; chains: Set<string> } {
  const text = rules.join('\n').replace(/"[^"]*"/g, '""')
  const names = (pattern: RegExp) => new Set([...text.matchAll(pattern)].map(match => match[1] as string))
  return { sets: names(/@(\w+)\b(?!,)/g), chains: names(/\b(?:jump|goto)\s+(\w+)/g) }
}
