import * as z from 'zod'
import { addressSpaces } from './spaces.ts'

/**
 * Requests of libnetwork's remote IPAM protocol, Docker 20.10 to 29 (moby `daemon/libnetwork/ipams/remote/api/api.go`). Keys that
 * a newer Docker adds are dropped; Go prints an empty map as `null`.
 */

const text = z.string().nullish()
const words = z.record(z.string(), z.string()).nullish()

export const RequestPool = z.object({
  AddressSpace: z.enum([addressSpaces.local, addressSpaces.global]),
  /** Empty asks for any. */
  Pool: text,
  /** `--ip-range`. */
  SubPool: text,
  /** `--ipam-opt` of the user. Swarm stores its own `com.docker.network.ipam.serial` there too. */
  Options: words,
  /** Which family, when Pool is empty. Swarm's leader leaves it out with a Pool of IPv6. */
  V6: z.boolean().nullish(),
})

export const ReleasePool = z.object({ PoolID: z.string() })

export const RequestAddress = z.object({
  PoolID: z.string(),
  /** Empty asks for the next one. */
  Address: text,
  /**
   * `RequestAddressType`, `com.docker.network.endpoint.name` since 29, `com.docker.network.endpoint.macaddress` when we ask for it, and in Swarm the user's `--ipam-opt` words, which were
   * judged when the pool was asked for.
   */
  Options: words,
})

export const ReleaseAddress = z.object({ PoolID: z.string(), Address: z.string() })
