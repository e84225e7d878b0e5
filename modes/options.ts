import { Refused } from '../core/errors.ts'

/** How one `-o` word is read: a parser that throws Refused, and the sentence part that tells what is allowed. */
export type Word<T> = { parse: (text: string) => T | undefined; allowed: string }

export const bool: Word<boolean> = {
  parse: text => ({ true: true, '1': true, false: false, '0': false })[text.toLowerCase()],
  allowed: 'true or false',
}

export const choice = <const T extends string>(...of: T[]): Word<T> => ({
  parse: text => of.find(each => each === text),
  allowed: of.join(', '),
})

export const integer = (least: number, most: number): Word<number> => ({
  parse: text => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
    return value >= least && value <= most ? value : undefined
  },
  allowed: `a whole number from ${least} to ${most}`,
})

export const pattern = (expression: RegExp, allowed: string): Word<string> => ({
  parse: text => (expression.test(text) ? text : undefined),
  allowed,
})

export const parsed = (accept: (text: string) => boolean, allowed: string): Word<string> => ({
  parse: text => (accept(text) ? text : undefined),
  allowed,
})

/** IFNAMSIZ less its final zero; the kernel's dev_valid_name() refuses `/`, `:` and white space. */
export const linkName = pattern(/^(?!\.{1,2}$)[^\s/:]{1,15}$/, 'an interface name of 1 to 15 characters')

/**
 * Reads words by a table. Docker's label and our plain word are two names of one option, so both at once are refused,
 * and so is a word that isn't in the table.
 */
export function readWords<T extends Record<string, Word<unknown>>>(
  table: T,
  labels: Readonly<Record<string, keyof T & string>>,
  words: Readonly<Record<string, string>>,
): { [name in keyof T]?: T[name] extends Word<infer V> ? V : never } {
  const found: Record<string, unknown> = {}
  for (const [given, text] of Object.entries(words)) {
    const name = labels[given] ?? given
    const word = Object.hasOwn(table, name) ? table[name] : undefined
    if (!word) throw new Refused(`option "${given}" is not known; known are ${Object.keys(table).join(', ')}`)
    if (name in found) throw new Refused(`option "${given}" is given twice, once by another name`)
    const value = word.parse(text)
    if (value === undefined)
      throw new Refused(`option "${given}" can't be "${text}": it has to be ${word.allowed}`)
    found[name] = value
  }
  return found as ReturnType<typeof readWords<T>>
}
