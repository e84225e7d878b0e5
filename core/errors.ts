/** The caller asked for something that can't be: an HTTP 400 or a CNI code, with one sentence. Nothing was changed. */
export class Refused extends Error {
  override name = 'Refused'
}

/** A step that the kernel turned down: which step, the errno's name, and the kernel's own words. */
export class StepError extends Error {
  override name = 'StepError'
  readonly step: string
  /** `EEXIST`, `ENOENT`, …: what tests and callers look at. */
  readonly code: string

  constructor(step: string, code: string, words: string) {
    super(`${step}: ${words} (${code})`)
    this.step = step
    this.code = code
  }
}
