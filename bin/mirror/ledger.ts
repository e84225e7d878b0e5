import type { Store } from '../../core/faces.ts'
import type { Change } from '../../core/records.ts'
import type { Birth, Ledger } from './decide.ts'
import { readWord } from './network.ts'

/** The mirror's memory among the store's identities: `mirror docker`, `mirror bound BIRTH ID`, `mirror removed BIRTH`. */
const DOCKER = 'mirror docker'
const BOUND = 'mirror bound '
const REMOVED = 'mirror removed '

export function readLedger({ records }: Store): Ledger {
  const all = [...records.identities.values()]
  const bound = all.flatMap(({ id, value }) => {
    const [birth, here] = id.startsWith(BOUND) ? id.slice(BOUND.length).split(' ') : []
    const net = birth && here ? readWord(value)?.net : undefined
    return net ? [[birth as Birth, { id: here as string, net }] as const] : []
  })
  const removed = all
    .filter(({ id }) => id.startsWith(REMOVED))
    .sort((a, b) => Number(a.value) - Number(b.value))
  return {
    docker: records.identities.get(DOCKER)?.value ?? '',
    bound: new Map(bound),
    removed: new Set(removed.map(({ id }) => id.slice(REMOVED.length))),
  }
}

/** Resolves when the ledger is on disk; what is there already isn't written again. */
export async function writeLedger(store: Store, ledger: Ledger): Promise<void> {
  const present = [...store.records.identities.values()].filter(({ id }) => id.startsWith('mirror '))
  const was = new Map(present.map(({ id, value }) => [id, value]))
  const wanted = lines(ledger, was)
  const changes = [
    ...present.filter(({ id }) => !wanted.has(id)).map(({ id }): Change => ({ table: 'identity', id })),
    ...[...wanted]
      .filter(([id, value]) => was.get(id) !== value)
      .map(([id, value]): Change => ({ table: 'identity', id, value: { id, value } })),
  ]
  if (changes.length > 0) await store.write(changes)
}

/** Removed ones are numbered in their order; those that have a number keep it. */
function lines({ docker, bound, removed }: Ledger, was: ReadonlyMap<string, string>): Map<string, string> {
  const ids = [...removed].map(birth => `${REMOVED}${birth}`)
  let last = Math.max(0, ...ids.map(id => Number(was.get(id) ?? 0)))
  return new Map([
    [DOCKER, docker],
    ...[...bound].map(([birth, { id, net }]) => [`${BOUND}${birth} ${id}`, JSON.stringify({ net })] as const),
    ...ids.map(id => [id, was.get(id) ?? String(++last)] as const),
  ])
}
