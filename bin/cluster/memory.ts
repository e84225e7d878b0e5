import type { Store } from '../../core/faces.ts'
import { type Known, makeKey } from '../../vxlan-fdb/index.ts'

/** What the cluster must find again after a restart: every word of it is on disk before anybody hears of it. */
export class Memory {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  /** This host's private key; made at the first start. */
  async key(): Promise<Buffer> {
    const known = this.#get('key')
    if (known !== undefined) return Buffer.from(known, 'hex')
    const key = makeKey()
    await this.set('key', key.toString('hex'))
    return key
  }

  text(id: string): string | undefined {
    return this.#get(id)
  }

  number(id: string): number {
    return Number(this.#get(id) ?? 0)
  }

  /** Values whose ids begin with a word, by the rest of the id. */
  under(word: string): [string, string][] {
    return [...this.#store.records.identities.values()].flatMap(({ id, value }): [string, string][] =>
      id.startsWith(`${word} `) ? [[id.slice(word.length + 1), value]] : [],
    )
  }

  /** What the table asked to be made durable. */
  table(): Known {
    const fences = this.under('fence').map(([id, value]) => [id, ...value.split(' ')])
    return {
      pins: this.under('pin').map(([id, key]) => [id, Buffer.from(key, 'hex')]),
      fences: fences.map(([id = '', fence]) => [id, Number(fence)]),
      heirs: fences.flatMap(([id = '', , by]): [string, string][] => (by === undefined ? [] : [[id, by]])),
      incumbents: this.under('contested').map(([claim, origin]) => [JSON.parse(claim), origin]),
    }
  }

  /** Without a value it is forgotten. */
  async set(id: string, value: string | number | undefined): Promise<void> {
    const identity = value === undefined ? {} : { value: { id, value: String(value) } }
    await this.#store.write([{ table: 'identity', id, ...identity }])
  }

  #get(id: string): string | undefined {
    return this.#store.records.identities.get(id)?.value
  }
}
