import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto'

/** How batches are signed and checked. Handed to the table, so that a simulation may do it for nothing. */
export type Signer = {
  /** 64 bytes. */
  sign(bytes: Buffer): Buffer
  /** `key` is 32 bytes; anything else verifies nothing. */
  verify(key: Buffer, bytes: Buffer, signature: Buffer): boolean
  /** The own public key, 32 bytes. */
  publicKey: Buffer
}

/** A new private key: 32 bytes to be kept on this host, readable by nobody else. */
export function makeKey(): Buffer {
  return fromText(generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }).d)
}

/** Ed25519 (RFC 8032) by OpenSSL. */
export function ed25519(privateKey: Buffer): Signer {
  const own = createPrivateKey({ key: pkcs8(privateKey), format: 'der', type: 'pkcs8' })
  const known = new Map<string, KeyObject>()
  const keyOf = (key: Buffer): KeyObject => {
    const name = key.toString('base64url')
    const found =
      known.get(name) ?? createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: name }, format: 'jwk' })
    known.set(name, found)
    return found
  }
  return {
    sign: bytes => sign(null, bytes, own),
    verify: (key, bytes, signature) => key.length === 32 && verify(null, bytes, keyOf(key), signature),
    publicKey: fromText(createPublicKey(own).export({ format: 'jwk' }).x),
  }
}

/** The id that only the holder of a key can write under: the first 16 bytes of the public key's SHA-256, as hex digits. */
export const originOf = (publicKey: Buffer): string => hash('sha256', publicKey, 'hex').slice(0, 32)

/** Whose key an origin's is, where nobody has told: the one that its id is made of. */
export const selfCertified = (origin: string, key: Buffer): boolean => originOf(key) === origin

/** As well as the first one that was shown, for ids that come from elsewhere. It is pinned from then on. */
export const firstSight = (): boolean => true

const fromText = (value: string | undefined) => Buffer.from(value ?? '', 'base64url')

/** RFC 8410 section 7, with the key's 32 bytes at the end. */
const pkcs8 = (key: Buffer) => Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), key])
