/** Keys of AES-128, -192 or -256. The first one encrypts; all are tried on what arrives. */
export class Keyring {
  #keys: Buffer[] = []

  /** Throws RangeError for a key of another length. */
  constructor(keys: readonly Uint8Array[] = []) {
    for (const key of keys) this.install(key)
  }

  get primary(): Buffer | undefined {
    return this.#keys[0]
  }

  /** The primary key first. */
  list(): readonly Buffer[] {
    return this.#keys
  }

  has(key: Uint8Array): boolean {
    return this.#keys.some(known => known.equals(key))
  }

  /** Adds a key that from now on is tried on what arrives. Throws RangeError unless it has 16, 24 or 32 bytes. */
  install(key: Uint8Array): void {
    if (![16, 24, 32].includes(key.length))
      throw new RangeError(`a gossip key has 16, 24 or 32 bytes, not ${key.length}`)
    if (!this.has(key)) this.#keys.push(Buffer.from(key))
  }

  /** Encrypts with this key from now on. Throws RangeError if it was not installed. */
  use(key: Uint8Array): void {
    if (!this.has(key)) throw new RangeError('this gossip key is not installed')
    this.#keys = [Buffer.from(key), ...this.#keys.filter(known => !known.equals(key))]
  }

  /** Throws RangeError for the key that encrypts. */
  remove(key: Uint8Array): void {
    if (this.primary?.equals(key)) throw new RangeError('the gossip key in use cannot be removed')
    this.#keys = this.#keys.filter(known => !known.equals(key))
  }
}
