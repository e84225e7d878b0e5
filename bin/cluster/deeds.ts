import { originOf, type Signer } from '../../vxlan-fdb/index.ts'

/** Kept apart from any other use of the same key. */
const signed = (text: string) => Buffer.from(`tsnet deed\0${text}`)

const KEY = 32
const SIGNATURE = 64

/** The signature under a text, with the key that it is checked by: whoever shows it need not know more. */
export const seal = (signer: Signer, text: string): string =>
  Buffer.concat([signer.publicKey, signer.sign(signed(text))]).toString('base64')

/** Whether it is that of a host, whose id is made of its key. */
export function isSeal(signer: Signer, host: string, text: string, seal: string): boolean {
  const bytes = Buffer.from(seal, 'base64')
  const key = bytes.subarray(0, KEY)
  if (bytes.length !== KEY + SIGNATURE || originOf(key) !== host) return false
  return signer.verify(key, signed(text), bytes.subarray(KEY))
}
