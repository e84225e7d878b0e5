import type { Rate } from './records.ts'

/** Whether the kernel keeps the one as the other: it counts bursts in ticks of 64 ns, by a multiplication that is rounded. */
export const isAlike = (one: Rate, other: Rate): boolean =>
  one.rate === other.rate && Math.abs(one.burst - other.burst) <= 1 + one.rate * 128e-9 + one.burst * 1e-4

/** As `tc` prints it, without rounding. */
export const rateWords = ({ rate, burst }: Rate): string => `rate ${rate * 8}bit burst ${burst}b`
