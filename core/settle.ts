import { ahead } from './ahead.ts'
import { everything, type Modes, plain, type Touch, touched, type View } from './desired.ts'
import { diff } from './diff.ts'
import { everOfPlaces, inhabited, memberRow, spared } from './elsewhere.ts'
import type { StepError } from './errors.ts'
import type { Kernel, Outcome, Peers, Store } from './faces.ts'
import { stepLine } from './lines.ts'
import { alone } from './peers.ts'
import { key, type Row, type Step, type Wanted } from './rows.ts'

export type Log = {
  /** Absent: all is logged. Lines that nobody wants aren't made. */
  isLevelEnabled?(level: string): boolean
  debug(fields: object, text: string): void
  info(fields: object, text: string): void
  warn(fields: object, text: string): void
  error(fields: object, text: string): void
}

type Ask = {
  touch: Touch | 'everything'
  done: (failures: StepError[]) => void
  fail: (error: unknown) => void
}

/** What a run did, networks whose own rows it wanted, and what a run over everything found. */
type Done = { steps: Step[]; outcomes: Outcome[]; here: Set<string>; present?: Row[] }

export type SettlerParts = {
  kernel: Kernel
  store: Store
  modes: Modes
  /** Without, this host knows of no other. */
  peers?: Peers
  ground: readonly Wanted[]
  log: Log
  /** Unknown is not empty: leaves alone what nobody wants when everything is compared. */
  sparing?: boolean
  /** Told what a run over everything found in the kernel. */
  found?: (present: readonly Row[]) => void
}

/**
 * The one loop: wanted rows from the records, present rows from the kernel, the difference applied. Single-flight: asks
 * that come during a run are answered by the next, which begins after their records were there. That is all the
 * concurrency there is between requests and the kernel.
 */
export class Settler {
  /** Shows at once what is being written to it: write here what is to be settled meanwhile. */
  readonly store: Store
  readonly #parts: SettlerParts
  readonly #view: View
  #asks: Ask[] = []
  #running = false
  #shortcut: boolean | undefined
  /** Networks whose own rows the last run that looked at them wanted. */
  #inhabited = new Set<string>()

  constructor(parts: SettlerParts) {
    this.#parts = parts
    const { modes, peers = alone } = parts
    this.store = ahead(parts.store)
    this.#view = { records: this.store.records, modes, peers }
  }

  /** Resolves, after the first run that began after this call, with the failed steps on rows of this touch. */
  settle(touch: Touch | 'everything'): Promise<StepError[]> {
    return new Promise((done, fail) => {
      this.#asks.push({ touch, done, fail })
      if (!this.#running) void this.#loop()
    })
  }

  /** What a run over everything would do now. */
  async plan(): Promise<Step[]> {
    const { wanted, present } = await this.look()
    return this.#steps(wanted, present)
  }

  /** What is wanted in the kernel now, and what is there. */
  look(): Promise<{ wanted: Wanted[]; present: Row[] }> {
    return this.#compare()
  }

  #steps(wanted: readonly Wanted[], present: readonly Row[]): Step[] {
    const unsure = this.#parts.sparing ? () => true : spared(this.#view)
    return diff(wanted, present).filter(({ verb, row }) => verb !== 'delete' || !unsure(row))
  }

  async #loop(): Promise<void> {
    this.#running = true
    // Asks of the same turn share one run.
    await Promise.resolve()
    while (this.#asks.length > 0) await this.#run(this.#asks.splice(0))
    this.#running = false
  }

  async #run(asks: Ask[]): Promise<void> {
    try {
      for (const ask of asks) ask.touch = this.#widened(ask.touch)
      const touch = union(asks)
      const { steps, outcomes, here, present } =
        touch === 'everything' ? await this.#settleAll(bornIn(asks)) : await this.#settlePart(touch)
      this.#report(steps, outcomes, touch === 'everything')
      this.#remember(touch, here, outcomes)
      for (const ask of asks) ask.done(this.#failures(ask, steps, outcomes))
      if (present) this.#parts.found?.(present)
    } catch (error) {
      for (const ask of asks) ask.fail(error)
    }
  }

  async #settleAll(born: readonly string[]): Promise<Done> {
    const { wanted, present, here } = await this.#compare(born)
    const steps = this.#steps(wanted, present)
    return { steps, outcomes: steps.length > 0 ? await this.#parts.kernel.apply(steps) : [], here, present }
  }

  /** In one call, since somebody waits for it. */
  async #settlePart(touch: Touch): Promise<Done> {
    const { kernel } = this.#parts
    const here = this.#here(touch.networks)
    this.#shortcut ??= (await kernel.facts()).shortcut
    const wanted = this.#possible(touched(this.#view, touch))
    const others = this.#before(touch)
    if (wanted.length + others.length === 0) return { steps: [], outcomes: [], here }
    return { ...(await kernel.amend(wanted, others)), here }
  }

  async #compare(
    born: readonly string[] = [],
  ): Promise<{ wanted: Wanted[]; present: Row[]; here: Set<string> }> {
    const { kernel, ground } = this.#parts
    const facts = await kernel.facts()
    this.#shortcut = facts.shortcut
    const wanted = this.#possible(everything(this.#view, ground, facts, born))
    const here = this.#here(this.#view.records.networks.keys())
    const present = await kernel.read({ owned: true, rows: wanted.map(each => each.row) })
    return { wanted, present, here }
  }

  /** Those of these networks whose own rows are wanted now. */
  #here(ids: Iterable<string>): Set<string> {
    const networks = [...ids].flatMap(id => this.#view.records.networks.get(id) ?? [])
    return new Set(networks.filter(each => inhabited(this.#view, each)).map(({ id }) => id))
  }

  #before(touch: Touch): Row[] {
    return [...touch.before, ...everOfPlaces(this.#view, touch.places), ...touch.members.map(memberRow)]
  }

  /** With the networks that are to come or to go because their first endpoint is there or their last one is gone. */
  #widened(touch: Touch | 'everything'): Touch | 'everything' {
    if (touch === 'everything') return touch
    const turned = [...new Set(touch.homes)].flatMap(id => {
      const network = this.#view.records.networks.get(id)
      return network && inhabited(this.#view, network) !== this.#inhabited.has(id) ? network : []
    })
    if (turned.length === 0) return touch
    const gone = turned.filter(network => !inhabited(this.#view, network))
    return {
      ...touch,
      networks: [...touch.networks, ...turned.map(({ id }) => id)],
      before: [...touch.before, ...gone.flatMap(network => plain(this.#view, network)).map(({ row }) => row)],
    }
  }

  /** What was not done wholly is looked at again next time. */
  #remember(touch: Touch | 'everything', here: ReadonlySet<string>, outcomes: readonly Outcome[]): void {
    const done = outcomes.every(outcome => outcome.ok)
    const looked = touch === 'everything' ? new Set([...this.#inhabited, ...here]) : touch.networks
    for (const id of looked) {
      if (here.has(id) === done) this.#inhabited.add(id)
      else this.#inhabited.delete(id)
    }
  }

  /** Without what this kernel can't do. */
  #possible(wanted: Wanted[]): Wanted[] {
    return this.#shortcut ? wanted : wanted.filter(({ row }) => row.kind !== 'shortcut')
  }

  #failures(ask: Ask, steps: readonly Step[], outcomes: readonly Outcome[]): StepError[] {
    if (outcomes.every(outcome => outcome.ok)) return []
    const mine = ask.touch === 'everything' ? undefined : this.#keys(ask.touch)
    return outcomes.flatMap((outcome, i) => {
      const step = steps[i]
      return outcome.ok || !step || (mine && !mine.has(key(step.row))) ? [] : [outcome.error]
    })
  }

  #keys(touch: Touch): Set<string> {
    return new Set([
      ...touched(this.#view, touch).map(each => key(each.row)),
      ...this.#before(touch).map(key),
    ])
  }

  #report(steps: readonly Step[], outcomes: readonly Outcome[], full: boolean): void {
    const { log } = this.#parts
    const detailed = log.isLevelEnabled?.('debug') ?? true
    for (const [i, step] of steps.entries()) {
      const outcome = outcomes[i]
      if (outcome && !outcome.ok) log.warn({ err: outcome.error, full }, stepLine(step))
      else if (detailed) log.debug({ full }, stepLine(step))
    }
  }
}

/** Links that are to be made whatever else is looked at in the same run. */
const bornIn = (asks: readonly Ask[]): string[] =>
  asks.flatMap(({ touch }) => (touch === 'everything' ? [] : touch.born))

function union(asks: readonly Ask[]): Touch | 'everything' {
  const touches = asks.map(ask => ask.touch)
  if (touches.includes('everything')) return 'everything'
  const all = touches.filter(touch => touch !== 'everything')
  return {
    networks: all.flatMap(touch => touch.networks),
    endpoints: all.flatMap(touch => touch.endpoints),
    born: all.flatMap(touch => touch.born),
    homes: all.flatMap(touch => touch.homes),
    places: all.flatMap(touch => touch.places),
    members: all.flatMap(touch => touch.members),
    before: all.flatMap(touch => touch.before),
  }
}
