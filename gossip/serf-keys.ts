import type { Keyring } from './keyring.ts'
import { Malformed } from './malformed.ts'
import { decodeSerf, encodeSerf } from './serf-messages.ts'

const verbs: Record<string, (keyring: Keyring, key: Buffer) => void> = {
  '_serf_install-key': (keyring, key) => keyring.install(key),
  '_serf_use-key': (keyring, key) => keyring.use(key),
  '_serf_remove-key': (keyring, key) => keyring.remove(key),
  '_serf_list-keys': () => {},
}

export const isKeyQuery = (name: string): boolean => Object.hasOwn(verbs, name)

/** Does what a key query of serf (keymanager.go) says, and returns the answer to it. */
export function answerKeyQuery(name: string, payload: Buffer, keyring: Keyring): Buffer {
  const trouble = apply(name, payload, keyring)
  const listed = name === '_serf_list-keys' ? keyring.list() : []
  return encodeSerf({
    type: 'keyResponse',
    Result: trouble === '',
    Message: trouble,
    Keys: listed.map(key => key.toString('base64')),
    PrimaryKey: listed[0]?.toString('base64') ?? '',
  })
}

function apply(name: string, payload: Buffer, keyring: Keyring): string {
  if (!keyring.primary) return 'gossip is not encrypted here'
  const request = name === '_serf_list-keys' ? undefined : decodeSerf(payload)
  if (request && (request instanceof Malformed || request.type !== 'keyRequest'))
    return 'this key cannot be read'
  try {
    verbs[name]?.(keyring, request?.Key ?? Buffer.alloc(0))
    return ''
  } catch (error) {
    if (error instanceof RangeError) return error.message
    throw error
  }
}
