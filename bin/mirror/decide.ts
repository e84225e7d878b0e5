import { alike, clash, type Net, type Word } from './network.ts'

/**
 * A network is one by its birth: the id that Docker gave it on the host where it was made. Two hosts can't make the same one, whatever its name, so
 * networks that were made apart are never mixed, and what was removed can't come back under a name that is in use again.
 */
export type Birth = string

/** A network that Docker lists here and that we serve. */
export type Here = {
  id: string
  birth: Birth
  /** Containers have endpoints in it. */
  used: boolean
  net: Net
}

/** What this host must not forget. */
export type Ledger = {
  /** Which store of Docker's the rest is about. */
  docker: string
  /** What was here when we looked last. */
  bound: ReadonlyMap<Birth, { id: string; net: Net }>
  /** Oldest first. */
  removed: ReadonlySet<Birth>
}

export type World = {
  ledger: Ledger
  docker: string
  /** Ids of all networks that Docker lists. */
  listed: ReadonlySet<string>
  here: readonly Here[]
  /** What each of the others says. */
  others: ReadonlyMap<string, ReadonlyMap<Birth, Word>>
  /** All that others know has been heard once. */
  heard: boolean
  /** What we said last. */
  said: ReadonlyMap<Birth, Word>
}

export type Deed =
  | { do: 'create'; birth: Birth; net: Net }
  | { do: 'remove'; birth: Birth; id: string; net: Net }

export type Decision = {
  ledger: Ledger
  /** All that we say from now on. */
  words: Map<Birth, Word>
  /** In this order. What comes of them is seen at the next look. */
  deeds: Deed[]
  /** What an operator has to know, by what it is about. */
  reports: Map<string, string>
}

/** Births that are remembered as removed. A host that was away while more were removed may bring back the oldest. */
const REMEMBERED = 4096
/** More networks than this are not made here, whoever tells of them. */
const MOST = 1024

/** What is to be done, said and remembered, now that this is what Docker lists and the others say. */
export function decide(world: World): Decision {
  const ledger = remember(world)
  const living = livingOf(world, ledger)
  const ofHere = world.here.map(here => ofOne(here, ledger, living))
  const made = world.heard ? newcomers(world, ledger, living) : []
  const verdicts = [...ofHere.flat(), ...made]
  return {
    ledger,
    words: wordsOf(world, ledger),
    deeds: verdicts.flatMap(each => ('do' in each ? each : [])),
    reports: new Map(verdicts.flatMap(each => ('about' in each ? [[each.about, each.sentence]] : []))),
  }
}

type Report = { about: string; sentence: string }
type Living = Map<Birth, Net>

/**
 * What was here and is no longer was removed, and so for everybody; unless Docker lost all its networks, which says nothing of any of them.
 */
function remember({ ledger, docker, listed, here, others }: World): Ledger {
  const before = ledger.docker === docker ? [...ledger.bound] : []
  const gone = before.filter(([, { id }]) => !listed.has(id)).map(([birth]) => birth)
  const told = [...others.values()].flatMap(words =>
    [...words].flatMap(([birth, { net }]) => (net ? [] : birth)),
  )
  const removed = [...new Set([...ledger.removed, ...told, ...gone])]
  const leaving = before.filter(([, { id }]) => listed.has(id))
  return {
    docker,
    bound: new Map([...leaving, ...here.map(({ birth, id, net }) => [birth, { id, net }] as const)]),
    removed: new Set(removed.slice(-REMEMBERED)),
  }
}

/** Networks that nobody removed, the oldest first. */
function livingOf({ others }: Pick<World, 'others'>, { bound, removed }: Ledger): Living {
  const known = [...others.values()].flatMap(words =>
    [...words].flatMap(([birth, { net }]): [Birth, Net][] => (net ? [[birth, net]] : [])),
  )
  const own = [...bound].map(([birth, { net }]): [Birth, Net] => [birth, net])
  return new Map([...known, ...own].filter(([birth]) => !removed.has(birth)).sort(byAge))
}

const byAge = ([a, { made: madeA }]: [Birth, Net], [b, { made: madeB }]: [Birth, Net]) =>
  madeA - madeB || (a < b ? -1 : 1)

/** Of networks with one name the oldest is the one that all hosts have: all of them find the same. */
const firstNamed = (living: Living, name: string) => [...living].find(([, net]) => net.name === name)

const theOne = (birth: Birth, { name, ipam }: Net) =>
  `network ${name} (${birth.slice(0, 12)}, ${ipam.subnets.map(each => each.subnet).join(', ')})`

/** What becomes of a network that is here. */
function ofOne(here: Here, { removed }: Ledger, living: Living): (Deed | Report)[] {
  const { birth, net } = here
  if (removed.has(birth)) return leave(here, 'was removed on another host')
  const [first, other] = firstNamed(living, net.name) ?? []
  if (!first || !other || first === birth) return []
  if (alike(net, other)) return leave(here, `was made on another host, too, as ${theOne(first, other)}`)
  return [
    {
      about: birth,
      sentence: `${theOne(birth, net)} has the name of another, ${theOne(first, other)}; both stay as they are, apart from each other, until one of them is removed`,
    },
  ]
}

function leave({ birth, id, used, net }: Here, why: string): (Deed | Report)[] {
  if (!used) return [{ do: 'remove', birth, id, net }]
  return [
    {
      about: birth,
      sentence: `${theOne(birth, net)} ${why}; containers still use it here, it goes with the last of them`,
    },
  ]
}

/** Networks of others that are to be made here. Where two can't both be, the older one is. */
function newcomers({ here }: World, { bound }: Ledger, living: Living): (Deed | Report)[] {
  const present = new Map(here.map(({ birth, net }) => [birth, net]))
  return [...living].flatMap(([birth, net]): (Deed | Report)[] => {
    const awaited = bound.has(birth) || here.some(each => each.net.name === net.name)
    if (awaited || firstNamed(living, net.name)?.[0] !== birth) return []
    const sentence = obstacle(birth, net, present)
    if (sentence) return [{ about: birth, sentence }]
    present.set(birth, net)
    return [{ do: 'create', birth, net }]
  })
}

function obstacle(birth: Birth, net: Net, present: Living): string | undefined {
  const one = theOne(birth, net)
  for (const [other, there] of present) {
    const words = clash(net, there)
    if (words) return `${one} of another host can't be here: it ${words} ${theOne(other, there)}`
  }
  return present.size < MOST
    ? undefined
    : `${one} of another host is not made here: there are ${MOST} networks`
}

/**
 * What is here is said to be here. That something was removed is said while somebody has it still, by whoever removed it or, if he is
 * silent, by all who remember: so nothing needs to be told for ever, and a host that was away for long hears of it when it says what it has.
 */
function wordsOf({ others, said }: World, { bound, removed }: Ledger): Map<Birth, Word> {
  const all = [...others.values()]
  const denied = (birth: Birth) => all.some(words => words.get(birth)?.net)
  const told = (birth: Birth) => all.some(words => words.has(birth) && !words.get(birth)?.net)
  const mine = (birth: Birth) => said.has(birth) && !said.get(birth)?.net
  const needed = (birth: Birth) => bound.has(birth) || (denied(birth) && (mine(birth) || !told(birth)))
  return new Map<Birth, Word>([
    ...[...bound].map(([birth, { net }]) => [birth, { net }] as const),
    ...[...removed].filter(needed).map(birth => [birth, {}] as const),
  ])
}

/**
 * Why a network can't be made here now, as far as it is known: it would be apart from one that is everywhere, and in its way. Undefined if it can.
 */
export function inTheWay(net: Net, known: Pick<World, 'others' | 'ledger'>): string | undefined {
  for (const [birth, other] of livingOf(known, known.ledger)) {
    const words = clash(net, other)
    if (words) return `the network ${words} ${theOne(birth, other)}; choose another`
  }
  return undefined
}
