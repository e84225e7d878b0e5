import { type Codec, exactly } from './codec.ts'

type Fields = Record<string, Codec<number>>
type StructOf<F extends Fields> = { [K in keyof F]: number }

const sizeOf = (codec: Codec<unknown>): number => codec.size as number

/** Two values side by side. */
export const pair = <A, B>(a: Codec<A>, b: Codec<B>): Codec<[A, B]> => ({
  size: sizeOf(a) + sizeOf(b),
  write(out, [first, second]) {
    a.write(out, first)
    b.write(out, second)
  },
  read(bytes, from, to) {
    const middle = from + sizeOf(a)
    exactly(sizeOf(a) + sizeOf(b), from, to)
    return [a.read(bytes, from, middle), b.read(bytes, middle, to)]
  },
})

/** A C struct of integers without gaps, as the value of an attribute. */
export function struct<F extends Fields>(fields: F): Codec<StructOf<F>> {
  const entries = Object.entries(fields)
  const size = entries.reduce((sum, [, codec]) => sum + sizeOf(codec), 0)
  return {
    size,
    write(out, value) {
      for (const [name, codec] of entries) codec.write(out, value[name] as number)
    },
    read(bytes, from, to) {
      exactly(size, from, to)
      const value: Record<string, number> = {}
      let at = from
      for (const [name, codec] of entries) {
        value[name] = codec.read(bytes, at, at + sizeOf(codec))
        at += sizeOf(codec)
      }
      return value as StructOf<F>
    },
  }
}
