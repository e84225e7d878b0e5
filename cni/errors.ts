import { Worded } from '../core/methods.ts'

/** Error codes of CNI's specification (SPEC.md, "Error"), and ours from 100 on. */
export const CODE = {
  version: 1,
  unsupportedField: 2,
  environment: 4,
  decode: 6,
  config: 7,
  tryAgain: 11,
  notReady: 50,
  /** The container has a link of that name. */
  exists: 100,
  /** No address, or not the one asked for. */
  address: 101,
  port: 102,
  /** CHECK found something else than ADD had made. */
  drift: 103,
  kernel: 104,
} as const

/** What a runtime reads on the plugin's standard output. */
export class CniError extends Error {
  override name = 'CniError'
  readonly code: number
  readonly details: string | undefined

  constructor(code: number, words: string, details?: string) {
    super(words)
    this.code = code
    this.details = details
  }
}

/** HTTP's status that tells the shim to print the answer and end with 1. */
const UNPROCESSABLE = 422

export function worded({ code, message, details }: CniError, cniVersion: string): Worded {
  return new Worded(UNPROCESSABLE, {
    cniVersion,
    code,
    msg: message,
    ...(details !== undefined && { details }),
  })
}
