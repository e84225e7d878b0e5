/**
 * What a table of the kernel holds as far as we have written or read it: a doorbell's memory, so that it rings for what others change
 * and not for what we do. Never asked what is present.
 */
export class Known {
  readonly #values = new Map<string, string>()

  note(index: number, what: string, value: string): void {
    this.#values.set(`${index} ${what}`, value)
  }

  forget(index: number, what: string): void {
    this.#values.delete(`${index} ${what}`)
  }

  of(index: number, what: string): string | undefined {
    return this.#values.get(`${index} ${what}`)
  }

  /** Whether an announced value is another than the one we know of; one that we know nothing of is none of our business. */
  differs(index: number, what: string, value: string | undefined): boolean {
    const known = this.#values.get(`${index} ${what}`)
    return known !== undefined && known !== value
  }
}
