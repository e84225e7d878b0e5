import { createCipheriv, createDecipheriv } from 'node:crypto'
import { Malformed } from './malformed.ts'

/** Version 0 pads to 16 bytes (spoken below protocol version 2), version 1 doesn't. */
export type EnvelopeVersion = 0 | 1

export const nonceSize = 12
const tagSize = 16
const block = 16
const cipher = (key: Buffer) => `aes-${(key.length * 8) as 128 | 192 | 256}-gcm` as const

/** Bytes that the envelope adds, of version 1. */
export const envelopeSize = 1 + nonceSize + tagSize

/** Bytes of an envelope around `plain` bytes. */
export function sealedSize(plain: number, version: EnvelopeVersion = 1): number {
  return envelopeSize + (version === 0 ? padded(plain) : plain)
}

const padded = (size: number): number => size + block - (size % block)

/** memberlist's security.go: version, nonce, ciphertext, tag. */
export function seal(
  plain: Uint8Array,
  key: Buffer,
  nonce: Uint8Array,
  aad: Uint8Array,
  version: EnvelopeVersion = 1,
): Buffer {
  const gcm = createCipheriv(cipher(key), key, nonce)
  gcm.setAAD(aad)
  const padding = version === 0 ? padded(plain.length) - plain.length : 0
  return Buffer.concat([
    Buffer.of(version),
    nonce,
    gcm.update(plain),
    gcm.update(Buffer.alloc(padding, padding)),
    gcm.final(),
    gcm.getAuthTag(),
  ])
}

/** Tries every key in turn. Throws Malformed when none opens it. */
export function unseal(sealed: Buffer, keys: readonly Buffer[], aad: Uint8Array): Buffer {
  const version = sealed[0]
  if (version !== 0 && version !== 1) throw new Malformed('not encrypted, or by an unknown version')
  if (sealed.length < envelopeSize) throw new Malformed('too short for an encrypted message')
  for (const key of keys) {
    const plain = unsealWith(key, sealed, aad)
    if (plain) return version === 0 ? unpad(plain) : plain
  }
  throw new Malformed('no installed key opens it')
}

function unsealWith(key: Buffer, sealed: Buffer, aad: Uint8Array): Buffer | undefined {
  const gcm = createDecipheriv(cipher(key), key, sealed.subarray(1, 1 + nonceSize), {
    authTagLength: tagSize,
  })
  gcm.setAAD(aad)
  gcm.setAuthTag(sealed.subarray(-tagSize))
  const plain = gcm.update(sealed.subarray(1 + nonceSize, -tagSize))
  try {
    gcm.final()
    return plain
  } catch {
    return undefined
  }
}

/** PKCS #7, RFC 5652 section 6.3. */
function unpad(plain: Buffer): Buffer {
  const size = plain.at(-1) ?? 0
  if (size < 1 || size > block || size > plain.length) throw new Malformed('its padding is wrong')
  return plain.subarray(0, -size)
}
