import type { Claim, Facts, Furnished, Parent, VirtualService } from '../core/faces.ts'
import type { Row, Step, Wanted } from '../core/rows.ts'
import type { Result } from './linux.ts'

/** What crosses between the daemon's thread and the kernel's. */
export type Calls = {
  read: { argument: { rows: readonly Row[]; owned: boolean }; answer: Row[] }
  apply: { argument: readonly Step[]; answer: Result[] }
  amend: {
    argument: { wanted: readonly Wanted[]; others: readonly Row[] }
    answer: { steps: Step[]; results: Result[] }
  }
  facts: { argument: undefined; answer: Facts }
  look: { argument: { namespace: string; link: string }; answer: Furnished | undefined }
  retire: { argument: { namespace: string; link: string; mac?: string }; answer: undefined }
  balance: { argument: { namespace: string; services: readonly VirtualService[] }; answer: boolean }
  parent: { argument: string; answer: Parent | undefined }
  probe: { argument: { link: string; addresses: readonly string[] }; answer: Claim | undefined }
  announce: { argument: { link: string; addresses: readonly string[]; mac?: string }; answer: undefined }
  holds: { argument: { namespace: string; link: string }; answer: boolean }
  watch: { argument: undefined; answer: undefined }
  close: { argument: undefined; answer: undefined }
}
export type Call = {
  [K in keyof Calls]: { id: number; call: K; argument: Calls[K]['argument'] }
}[keyof Calls]

export type Message =
  | { about: 'answer'; id: number; answer: unknown }
  | { about: 'failure'; id: number; error: unknown }
  | { about: 'ready' }
  | { about: 'ring' }
  | { about: 'log'; words: string }

export type WorkerData = { namespace?: string }
