/**
 * What a table of the kernel holds as far as we have written or read it: a doorbell's memory, so that it rings for what others change
 * and not for what we do. Never asked what is present.
 */
export class Known {
  readonly #links = new Map<number, Map<string, string>>()

  /** What is known of one link, to be kept. */
  at(index: number): Map<string, string> {
    const link = this.#links.get(index) ?? new Map<string, string>()
    this.#links.set(index, link)
    return link
  }

  of(index: number, what: string): string | undefined {
    return this.#links.get(index)?.get(what)
  }

  /** Whether an announced value is another than the one we know of; one that we know nothing of is none of our business. */
  differs(index: number, what: string, value: string | undefined): boolean {
    const known = this.of(index, what)
    return known !== undefined && known !== value
  }
}
