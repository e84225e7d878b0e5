import { blob, type Codec, optional, struct, type ValueOf, varint } from './codec.ts'
import { Malformed, read, write } from './message.ts'

const mac: Codec<Buffer> = { write: (out, value) => out.raw(value), read: from => from.raw(6) }

/** 4 or 16 bytes. */
const address: Codec<Buffer> = {
  write: (out, value) => blob(16).write(out, value),
  read(from) {
    const value = blob(16).read(from)
    if (value.length !== 4 && value.length !== 16) from.fail(`address of ${value.length} bytes`)
    return value
  },
}

const endpoint = struct({ mac, ip4: optional(address), ip6: optional(address), blockEpoch: varint })
const host = struct({ vtep4: optional(address), vtep6: optional(address) })

/**
 * Value of a record of kind `endpoint`: who has these addresses. Its tunnel end point is that of its origin, so a host that moves
 * rewrites one record. `blockEpoch` is the ownership epoch of the address block that the IP came from.
 */
export type Endpoint = ValueOf<typeof endpoint>

/** Value of the record of kind `host` that each origin writes under network '' and key '': where its tunnels end. */
export type Host = ValueOf<typeof host>

export const writeEndpoint = (value: Endpoint): Buffer => write(endpoint, value)
export const writeHost = (value: Host): Buffer => write(host, value)
export const readEndpoint = (bytes: Buffer): Endpoint | Malformed => read(endpoint, bytes)
export const readHost = (bytes: Buffer): Host | Malformed => read(host, bytes)

/** Undefined unless it is well-formed: a record that somebody wrote wrongly claims nothing. */
export function endpointOf(value: Buffer | undefined): Endpoint | undefined {
  const found = value && readEndpoint(value)
  return found instanceof Malformed ? undefined : found
}
