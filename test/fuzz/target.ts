import type { Random } from './mutate.ts'

/** Something that takes what others send. */
export type Target = {
  name: string
  /** Takes one input; throws for what is no honest refusal. */
  feed(random: Random): void | Promise<void>
  /** As after a new start: what was learnt from the inputs so far is gone. */
  renew(): void | Promise<void>
  close?(): Promise<void>
}
