import { Refused } from '../core/errors.ts'
import { type MethodTable, method } from '../core/methods.ts'
import type { Ipam } from './ipam.ts'
import * as shapes from './shapes.ts'
import { addressSpaces, spaceOf } from './spaces.ts'

/**
 * Docker's IPAM driver. Answers are immediate but for the durable write: dockerd 27 asks for the address spaces before every pool.
 *
 * **Several subnets of one family**: dockerd goes on to the second only on an error value that a remote driver can't return, so
 * the first one's exhaustion is final. An address of the second subnet is never given under the first one's PoolID: we learn
 * only at CreateNetwork which pools belong together, and release and replay would name a pool that doesn't contain it.
 */
export function ipamMethods(ipam: Ipam): MethodTable {
  return {
    'IpamDriver.GetCapabilities': {
      run: () => {
        ipam.registered()
        return { RequiresMACAddress: ipam.leases, RequiresRequestReplay: true }
      },
    },

    'IpamDriver.GetDefaultAddressSpaces': {
      run: () => ({
        LocalDefaultAddressSpace: addressSpaces.local,
        GlobalDefaultAddressSpace: addressSpaces.global,
      }),
    },

    'IpamDriver.RequestPool': method(shapes.RequestPool, async request => {
      const dhcp = linkOf(request.Options ?? {})
      const { id, pool, gateway } = await ipam.requestPool({
        space: spaceOf(request.AddressSpace),
        pool: request.Pool ?? '',
        range: request.SubPool ?? '',
        v6: request.V6 ?? false,
        ...(dhcp !== undefined && { dhcp }),
      })
      const data = gateway === undefined ? {} : { 'com.docker.network.gateway': gateway }
      return { PoolID: id, Pool: pool, Data: data }
    }),

    'IpamDriver.ReleasePool': method(shapes.ReleasePool, request => ipam.releasePool(request.PoolID)),

    'IpamDriver.RequestAddress': method(shapes.RequestAddress, async request => {
      const {
        RequestAddressType: type,
        'com.docker.network.endpoint.macaddress': mac,
        'com.docker.network.endpoint.name': hostname,
      } = request.Options ?? {}
      const address = await ipam.requestAddress({
        pool: request.PoolID,
        address: request.Address ?? '',
        gateway: type === 'com.docker.network.gateway',
        ...(mac && { mac }),
        ...(hostname && { hostname }),
      })
      return { Address: address, Data: {} }
    }),

    'IpamDriver.ReleaseAddress': method(shapes.ReleaseAddress, request =>
      ipam.releaseAddress(request.PoolID, request.Address),
    ),
  }
}

/** Docker's own words pass; the one of ours names a link of the host, behind which a DHCP server gives the addresses. */
function linkOf(options: Record<string, string>): string | undefined {
  const odd = Object.keys(options).find(word => word !== 'dhcp' && !word.startsWith('com.docker.network.'))
  if (odd) throw new Refused(`ipam-opt "${odd}" is unknown: tsnet takes dhcp`)
  if (options.dhcp === '') throw new Refused('ipam-opt dhcp names a link of this host, such as dhcp=eth0')
  return options.dhcp
}
