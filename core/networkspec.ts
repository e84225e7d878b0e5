import type { Modes } from './desired.ts'
import { Refused } from './errors.ts'
import type { NetworkSpec } from './faces.ts'
import type { Network } from './records.ts'

/** The record of a network as a caller describes it. Refused names the mode or option that isn't known, and what is allowed. */
export function parsed(spec: NetworkSpec, modes: Modes, created: number): Network {
  const { id, words, internal, ipv4, ipv6, enable, shared = words.name, conflist } = spec
  const name = words.mode ?? 'bridge'
  const mode = modes[name]
  if (!mode)
    throw new Refused(`option "mode" can't be "${name}": it has to be ${Object.keys(modes).join(', ')}`)
  const options = mode.options(words, { internal, ...enable })
  return {
    ...{ id, mode: name, options, internal, ipv4, ipv6, created },
    ...(shared !== undefined && { shared }),
    ...(conflist !== undefined && { conflist }),
  }
}

/** A network as a Swarm's leader knows it. */
export type Planned = Omit<NetworkSpec, 'internal'>

/** The sentence that `parsed` refuses a network with, internal or not; undefined when it takes one of the two. */
export function complaint(spec: Planned, modes: Modes): string | undefined {
  const [plain, internal] = [false, true].map(internal => refusal({ ...spec, internal }, modes))
  return internal === undefined ? undefined : plain
}

function refusal(spec: NetworkSpec, modes: Modes): string | undefined {
  try {
    parsed(spec, modes, 0)
  } catch (error) {
    if (error instanceof Refused) return error.message
    throw error
  }
}

/** Refused when a known network is asked for again with other content. */
export function same(known: Network, asked: Network): void {
  const plain = ({ created: _, shared: __, own: ___, ...rest }: Network) => JSON.stringify(rest)
  if (plain(known) !== plain(asked))
    throw new Refused(`network ${known.id} exists with other options; remove it before creating it anew`)
}
