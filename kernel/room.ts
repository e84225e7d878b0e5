import type { Row } from '../core/rows.ts'
import type { Ordered } from './order.ts'

/** Why a step failed: the errno's name and the kernel's words. */
export type Failure = { code: string; words: string }

/** Tells a step's outcome; without a failure it went well. Each step is reported once. */
export type Report = (at: number, failure?: Failure) => void

/** One kind of rows, or a few that belong together, in one network namespace. All calls block. */
export interface Room {
  /** Those of `rows` that are present, and with `owned` everything of this kind that is ours. */
  read(rows: readonly Row[], owned: boolean): Row[]
  apply(steps: Ordered, report: Report): void
}

/** Without a name in Node: what a bridge answers whose ports are all taken (BR_MAX_PORTS in net/bridge/br_private.h). */
const EXFULL = 'E54'

/** The failure in whatever was thrown; what has no errno is a defect and goes on flying. */
export function failure(error: unknown): Failure {
  const { code, message } = error as { code?: unknown; message?: string }
  if (typeof code !== 'string' || !/^E[A-Z0-9]+$/.test(code)) throw error
  if (code === EXFULL) return { code: 'EXFULL', words: 'no room for more: a bridge has 1023 ports' }
  return { code, words: message ?? code }
}
