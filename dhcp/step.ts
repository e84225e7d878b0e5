import type { Message } from './message.ts'
import type { Client, Input, Lease, Output, State, Turn } from './state.ts'

/**
 * A client of DHCP (RFC 2131, figure 5) as a pure step: time in milliseconds since 1970 and randomness (0 to 1) enter as arguments, what
 * is to be done comes out.
 */

export type Random = () => number

/** Milliseconds. A container waits for its address, so the first wait is half of what section 4.1 proposes. */
const FIRST = 2_000
const LONGEST = 64_000
/** A server is asked no more often for what isn't urgent (section 4.4.5). */
const LEISURE = 60_000
/** Requests without an answer before what was offered is given up. */
const REQUESTS = 3

/** Begins to look for a server. With `wanted` no other address will do; an inquiry takes none at all. */
export function begin(
  client: Client,
  { wanted, inquires = false }: { wanted?: string | undefined; inquires?: boolean },
  now: number,
  random: Random,
): Turn {
  const base = { client, inquires, lost: false, ...(wanted !== undefined && { wanted }) }
  return discover({ ...fresh(base, now, random), phase: 'selecting' }, now, random)
}

/** Goes on with a lease of an earlier life: whoever has its address keeps it meanwhile. */
export function resume(client: Client, lease: Lease, now: number, random: Random): Turn {
  const base = { client, inquires: false, lost: false, lease, wanted: lease.address }
  return ask({ ...fresh(base, now, random), phase: 'rebooting' }, now, random)
}

/** Gives a lease back, if it is one. */
export function release({ client, lease, lost }: State, random: Random): Output[] {
  if (!lease || lost) return []
  const message: Message = {
    ...{ kind: 'RELEASE', xid: xidOf(random), secs: 0, broadcast: false },
    ...{ mac: client.mac, ciaddr: lease.address, server: lease.server },
  }
  return [{ type: 'send', message, to: { address: lease.server, mac: lease.via } }]
}

export function step(state: State, input: Input, now: number, random: Random): Turn {
  if (input.type === 'tick') return now < state.wake ? still(state) : tick(state, now, random)
  const { message, via } = input
  if (message.xid !== state.xid || message.mac !== state.client.mac) return still(state)
  if (message.kind === 'OFFER' && state.phase === 'selecting')
    return offered(state, message, via, now, random)
  if (state.phase === 'selecting' || state.phase === 'bound') return still(state)
  if (message.kind === 'ACK') return granted(state, message, via, now)
  if (message.kind === 'NAK') return denied(state, message, now, random)
  return still(state)
}

const still = (state: State): Turn => ({ state, outputs: [] })
const xidOf = (random: Random) => Math.floor(random() * 2 ** 32)

type Base = Pick<State, 'client' | 'inquires' | 'lost' | 'wanted' | 'lease'>

/** A new exchange, without what was offered in the last one. */
const fresh = (
  { client, inquires, lost, wanted, lease }: Base,
  now: number,
  random: Random,
): Omit<State, 'phase'> => ({
  ...{ client, inquires, lost },
  ...(wanted !== undefined && { wanted }),
  ...(lease && { lease }),
  xid: xidOf(random),
  began: now,
  asked: now,
  tries: 0,
  wake: now,
})

function tick(state: State, now: number, random: Random): Turn {
  const { phase, lease, tries } = state
  if (phase === 'selecting') return discover(state, now, random)
  if (phase === 'requesting')
    return tries < REQUESTS
      ? ask(state, now, random)
      : discover({ ...fresh(state, now, random), phase: 'selecting' }, now, random)
  if (!lease) return still(state)
  if (now >= lease.expires) return lose(state, lease, 'expired', undefined, now, random)
  // A server that is silent takes nothing away (section 3.2).
  if (phase === 'rebooting')
    return tries < REQUESTS
      ? ask(state, now, random)
      : still({ ...state, phase: 'bound', wake: Math.max(lease.renew, now + LEISURE) })
  return renew(state, lease, now, random)
}

function discover(state: State, now: number, random: Random): Turn {
  const next = waiting(state, now, random)
  const message: Message = {
    ...message0(next, 'DISCOVER', now),
    ...(state.wanted !== undefined && { requested: state.wanted }),
  }
  return { state: next, outputs: [{ type: 'send', message }] }
}

/** Asks for what was offered, or for what an earlier life had; the latter without naming a server (table 4). */
function ask(state: State, now: number, random: Random): Turn {
  const next = waiting(state, now, random)
  const { offer } = state
  const requested = offer?.address ?? state.lease?.address
  const message: Message = {
    ...message0(next, 'REQUEST', now),
    ...(requested !== undefined && { requested }),
    ...(offer && { server: offer.server }),
  }
  return { state: next, outputs: [{ type: 'send', message }] }
}

function renew(state: State, lease: Lease, now: number, random: Random): Turn {
  const late = now >= lease.rebind
  const begun = state.phase === 'bound' ? { ...state, ...fresh(state, now, random) } : state
  const end = late ? lease.expires : lease.rebind
  const next: State = {
    ...begun,
    phase: late ? 'rebinding' : 'renewing',
    asked: now,
    wake: Math.min(end, now + Math.max((end - now) / 2, LEISURE)),
  }
  const message: Message = { ...message0(next, 'REQUEST', now), broadcast: false, ciaddr: lease.address }
  const to = { address: lease.server, mac: lease.via }
  return { state: next, outputs: [{ type: 'send', message, ...(!late && { to }) }] }
}

/** Twice as long each time, and a second more or less so that many don't ask at once. */
function waiting(state: State, now: number, random: Random): State {
  const wait = Math.min(FIRST * 2 ** state.tries, LONGEST) + (random() - 0.5) * 1000
  return { ...state, tries: state.tries + 1, asked: now, wake: now + wait }
}

const message0 = ({ xid, began, client }: State, kind: Message['kind'], now: number): Message => ({
  ...{ kind, xid, secs: Math.floor((now - began) / 1000), broadcast: true, mac: client.mac },
  ...(client.hostname !== undefined && { hostname: client.hostname }),
})

function offered(state: State, message: Message, via: string, now: number, random: Random): Turn {
  const offer = leaseIn(message, via, now)
  if (!offer) return still(state)
  if (state.inquires) return { state, outputs: [{ type: 'offered', offer }] }
  if (state.wanted !== undefined && offer.address !== state.wanted)
    return { state, outputs: [{ type: 'elsewhere', offered: offer.address }] }
  return ask({ ...state, phase: 'requesting', offer, tries: 0 }, now, random)
}

function granted(state: State, message: Message, via: string, now: number): Turn {
  const lease = leaseIn(message, via, state.asked)
  const before = state.lease?.address
  if (!lease || (before !== undefined && lease.address !== before)) return still(state)
  const { offer: _, ...rest } = state
  const next: State = {
    ...rest,
    ...{ phase: 'bound', lease, lost: false, wake: Math.max(lease.renew, now + 1000) },
  }
  return { state: next, outputs: [{ type: 'bound', lease, again: state.lost }] }
}

/** What was offered a moment ago is simply looked for again; what a container has is told of. */
function denied(state: State, { words }: Message, now: number, random: Random): Turn {
  const { lease } = state
  if (lease && !state.lost) return lose(state, lease, 'refused', words, now, random)
  const wait = FIRST * (0.5 + random())
  return still({ ...fresh(state, now, random), phase: 'selecting', wake: now + wait })
}

/** The container can't be given another address: its own is asked for until somebody grants it. */
function lose(
  state: State,
  lease: Lease,
  why: 'refused' | 'expired',
  words: string | undefined,
  now: number,
  random: Random,
): Turn {
  const begun: State = {
    ...fresh({ ...state, wanted: lease.address, lost: true }, now, random),
    phase: 'selecting',
  }
  const turn = discover(begun, now, random)
  const told: Output = { type: 'lost', lease, why, ...(words !== undefined && { words }) }
  return { state: turn.state, outputs: [told, ...turn.outputs] }
}

/** @param since when it was asked for. A server that says no times leaves them at their usual parts (section 4.4.5). */
function leaseIn(message: Message, via: string, since: number): Lease | undefined {
  const { yiaddr, server, lease: seconds, mask = '255.255.255.255', router } = message
  if (!yiaddr || yiaddr === '0.0.0.0' || !server || seconds === undefined) return undefined
  const rebind = Math.min(message.rebinding ?? seconds * 0.875, seconds)
  const renewal = Math.min(message.renewal ?? seconds / 2, rebind)
  return {
    ...{ address: yiaddr, length: lengthOf(mask), server, via },
    ...(router !== undefined && { router }),
    renew: since + renewal * 1000,
    rebind: since + rebind * 1000,
    expires: since + seconds * 1000,
  }
}

const lengthOf = (mask: string) =>
  mask
    .split('.')
    .map(octet => Number(octet).toString(2).replaceAll('0', '').length)
    .reduce((sum, each) => sum + each, 0)
