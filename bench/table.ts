/** The value that a share of the values lies below; 0.5 is the median. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

/** Prints a heading and rows in columns; the first row names them. Words to the left, figures to the right. */
export function print(title: string, rows: readonly (readonly (string | number)[])[]): void {
  const cells = rows.map(row => row.map(cell => (typeof cell === 'number' ? figure(cell) : cell)))
  const widths = (cells[0] ?? []).map((_, at) => Math.max(...cells.map(row => row[at]?.length ?? 0)))
  const text = cells.map(row => row.map((cell, at) => pad(cell, widths[at] ?? 0, at === 0)).join('  '))
  console.log(`\n${title}\n${text.join('\n')}`)
}

const pad = (cell: string, width: number, left: boolean) => (left ? cell.padEnd(width) : cell.padStart(width))

/** Three digits that count. */
function figure(value: number): string {
  if (Number.isNaN(value)) return '-'
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return value.toFixed(digits)
}

/** A ratio beside what the project promises of it. */
export function against(ratio: number, target: number, better: 'lower' | 'higher' = 'lower'): string {
  const reached = better === 'lower' ? ratio <= target : ratio >= target
  return `${ratio.toFixed(2)} (${better === 'lower' ? '≤' : '≥'} ${target} ${reached ? 'reached' : 'MISSED'})`
}

/** Short runs show that everything works and say little about time. */
export const quick = process.env.BENCH_QUICK === '1'

/** A count that an environment variable may change. */
export const count = (variable: string, usual: number, short: number): number =>
  Number(process.env[variable] ?? (quick ? short : usual))
