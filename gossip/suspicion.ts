/** Lifeguard, section IV.B: a suspicion lasts the shorter, the more nodes confirm it. Times in milliseconds. */
export type Suspicion = {
  /** The accuser and whoever confirmed. */
  readonly from: Set<string>
  start: number
  /** Confirmations that shorten it to `min`. */
  readonly wanted: number
  readonly min: number
  readonly max: number
}

type Terms = { suspicionMult: number; suspicionMaxTimeoutMult: number; probeInterval: number }

export function suspicion(from: string, now: number, nodes: number, terms: Terms): Suspicion {
  const mult = terms.suspicionMult
  const min = suspicionTimeout(mult, nodes, terms.probeInterval)
  // With fewer other nodes than that nobody could confirm.
  const wanted = nodes - 2 < mult - 2 ? 0 : mult - 2
  return { from: new Set([from]), start: now, wanted, min, max: terms.suspicionMaxTimeoutMult * min }
}

export function suspicionTimeout(mult: number, nodes: number, interval: number): number {
  return mult * Math.max(1, Math.log10(Math.max(1, nodes))) * interval
}

/** Counts a confirmation; false if it says nothing new. */
export function confirm(suspicion: Suspicion, from: string): boolean {
  if (suspicion.from.size > suspicion.wanted || suspicion.from.has(from)) return false
  suspicion.from.add(from)
  return true
}

/** When the suspected node counts as dead. */
export function deadline({ from, start, wanted, min, max }: Suspicion): number {
  if (wanted < 1) return start + min
  const heard = Math.log(from.size) / Math.log(wanted + 1)
  return start + Math.max(min, Math.floor(max - heard * (max - min)))
}
