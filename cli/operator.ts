import type { Endpoint, FdbLine, Forgotten, Keys, Member, Network, Plan, Status } from './answers.ts'

/** What an operator may ask of the daemon. Refused, in one sentence, for what can't be done. */
export interface Operator {
  status(): Promise<Status>
  members(): Member[]
  networks(): Promise<Network[]>
  endpoints(): Promise<Endpoint[]>
  /** The forwarding and neighbour entries of overlay networks: what the table says against what the kernel has. */
  fdb(): Promise<FdbLine[]>
  /** What would be done in the kernel now if everything were looked at. */
  plan(): Promise<Plan>
  /** The operator's word that a host, by name or id, is gone for good. */
  forget(host: string): Promise<Forgotten>
  /**
   * One step of a rotation on every host. `install` makes a key when none is given, and tells it; `use` and `remove` take the
   * beginning of one, too. `show`: tells whole keys.
   */
  keys(verb: KeyVerb, key: string | undefined, show: boolean): Promise<Keys>
}

export const keyVerbs = ['list', 'install', 'use', 'remove'] as const
export type KeyVerb = (typeof keyVerbs)[number]
