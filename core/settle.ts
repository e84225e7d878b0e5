import { everything, type Modes, type Touch, touched } from './desired.ts'
import { diff } from './diff.ts'
import type { StepError } from './errors.ts'
import type { Kernel, Outcome, Store } from './faces.ts'
import { stepLine } from './lines.ts'
import { key, type Row, type Step, type Wanted } from './rows.ts'

export type Log = {
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

export type SettlerParts = {
  kernel: Kernel
  store: Store
  modes: Modes
  ground: readonly Wanted[]
  log: Log
  /** Unknown is not empty: leaves alone what nobody wants when everything is compared. */
  sparing?: boolean
  /** Told what a run over everything found in the kernel. */
  found?: (present: readonly Row[]) => void
}

/**
 * The one loop: wanted rows from the records, present rows from the kernel, the difference applied. Single-flight: asks
 * that come during a run are answered by the next, which begins after their records were durable. That is all the
 * concurrency there is between requests and the kernel.
 */
export class Settler {
  readonly #parts: SettlerParts
  #asks: Ask[] = []
  #running = false
  #shortcut: boolean | undefined

  constructor(parts: SettlerParts) {
    this.#parts = parts
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
    const { wanted, present } = await this.#compare('everything')
    return this.#steps('everything', wanted, present)
  }

  #steps(touch: Touch | 'everything', wanted: readonly Wanted[], present: readonly Row[]): Step[] {
    const spare = this.#parts.sparing && touch === 'everything'
    return diff(wanted, present).filter(step => !(spare && step.verb === 'delete'))
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
      const touch = union(asks)
      const { wanted, present } = await this.#compare(touch)
      const steps = this.#steps(touch, wanted, present)
      const outcomes = steps.length > 0 ? await this.#parts.kernel.apply(steps) : []
      this.#report(steps, outcomes, touch === 'everything')
      for (const ask of asks) ask.done(this.#failures(ask, steps, outcomes))
      if (touch === 'everything') this.#parts.found?.(present)
    } catch (error) {
      for (const ask of asks) ask.fail(error)
    }
  }

  async #compare(touch: Touch | 'everything'): Promise<{ wanted: Wanted[]; present: Row[] }> {
    const { kernel, store, modes, ground } = this.#parts
    if (touch === 'everything') {
      const facts = await kernel.facts()
      this.#shortcut = facts.shortcut
      const wanted = this.#possible(everything(store.records, modes, ground, facts))
      return { wanted, present: await kernel.read({ owned: true, rows: wanted.map(each => each.row) }) }
    }
    this.#shortcut ??= (await kernel.facts()).shortcut
    const wanted = this.#possible(touched(store.records, modes, touch))
    const rows = [...wanted.map(each => each.row), ...touch.before]
    return { wanted, present: rows.length > 0 ? await kernel.read({ owned: false, rows }) : [] }
  }

  /** Without what this kernel can't do. */
  #possible(wanted: Wanted[]): Wanted[] {
    return this.#shortcut ? wanted : wanted.filter(({ row }) => row.kind !== 'shortcut')
  }

  #failures(ask: Ask, steps: readonly Step[], outcomes: readonly Outcome[]): StepError[] {
    const mine = ask.touch === 'everything' ? undefined : this.#keys(ask.touch)
    return outcomes.flatMap((outcome, i) => {
      const step = steps[i]
      return outcome.ok || !step || (mine && !mine.has(key(step.row))) ? [] : [outcome.error]
    })
  }

  #keys(touch: Touch): Set<string> {
    const { store, modes } = this.#parts
    return new Set([
      ...touched(store.records, modes, touch).map(each => key(each.row)),
      ...touch.before.map(key),
    ])
  }

  #report(steps: readonly Step[], outcomes: readonly Outcome[], full: boolean): void {
    const { log } = this.#parts
    for (const [i, step] of steps.entries()) {
      const outcome = outcomes[i]
      if (outcome && !outcome.ok) log.warn({ err: outcome.error, full }, stepLine(step))
      else log.debug({ full }, stepLine(step))
    }
  }
}

function union(asks: readonly Ask[]): Touch | 'everything' {
  const touches = asks.map(ask => ask.touch)
  if (touches.includes('everything')) return 'everything'
  const all = touches.filter(touch => touch !== 'everything')
  return {
    networks: all.flatMap(touch => touch.networks),
    endpoints: all.flatMap(touch => touch.endpoints),
    before: all.flatMap(touch => touch.before),
  }
}
