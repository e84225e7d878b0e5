import type { Networks } from '../core/faces.ts'
import { type MethodTable, method } from '../core/methods.ts'
import type { Planned } from '../core/networkspec.ts'
import * as shapes from './shapes.ts'
import {
  allocated,
  endpointSpec,
  joinAnswer,
  networkSpec,
  onNode,
  otherNode,
  portRequests,
  skipGateway,
} from './translate.ts'

/** `scope` is what Docker shows: `global` makes it a Swarm driver, whose leader calls AllocateNetwork. */
export type DriverSettings = {
  scope: 'local' | 'global'
  /** Hears of the other nodes of the Swarm, by address. */
  nodes?: { came(address: string): void; went(address: string): void }
  /** The sentence that such a network would be refused with, internal or not; undefined when it might not. */
  complaint?: (spec: Planned) => string | undefined
}

/**
 * Docker's network driver, as a legacy and as a managed plugin (which never gets Plugin.Activate).
 *
 * dockerd swallows every error of a teardown and goes on, and a teardown may come twice, in part (since 29
 * RevokeExternalConnectivity is forgotten after a restart) or for what we never knew: Leave and DeleteEndpoint each take
 * away all that came after CreateEndpoint, and nothing to do is a success.
 */
export function driverMethods(networks: Networks, { scope, nodes, complaint }: DriverSettings): MethodTable {
  return {
    'Plugin.Activate': {
      run: () => {
        networks.activated()
        return { Implements: ['NetworkDriver', 'IpamDriver'] }
      },
    },

    'NetworkDriver.GetCapabilities': {
      // All that a managed plugin hears of Docker's start.
      run: () => {
        networks.activated()
        return { Scope: scope, ConnectivityScope: scope, GwAllocChecker: true }
      },
    },

    'NetworkDriver.GwAllocCheck': method(shapes.GwAllocCheck, request => skipGateway(request.Options)),

    'NetworkDriver.AllocateNetwork': method(shapes.AllocateNetwork, request => ({
      Options: allocated(request, complaint),
    })),

    'NetworkDriver.FreeNetwork': method(shapes.OneNetwork, () => undefined),

    'NetworkDriver.CreateNetwork': method(shapes.CreateNetwork, request =>
      networks.createNetwork(scope === 'global' ? onNode(networkSpec(request)) : networkSpec(request)),
    ),

    'NetworkDriver.DeleteNetwork': method(shapes.OneNetwork, request =>
      networks.deleteNetwork(request.NetworkID),
    ),

    // Any field of Interface that the request had may not come back, not even unchanged: dockerd takes it for a change.
    'NetworkDriver.CreateEndpoint': method(shapes.CreateEndpoint, async request => {
      const asked = endpointSpec(request)
      const { mac } = await networks.createEndpoint(asked)
      return { Interface: asked.mac || mac === '' ? {} : { MacAddress: mac } }
    }),

    'NetworkDriver.DeleteEndpoint': method(shapes.OneEndpoint, request =>
      networks.deleteEndpoint(request.EndpointID),
    ),

    // Asked many times a container; dockerd expects its own types in Value and so discards whatever we say about ports.
    'NetworkDriver.EndpointOperInfo': method(shapes.OneEndpoint, () => ({ Value: {} })),

    'NetworkDriver.Join': method(shapes.Join, async request =>
      joinAnswer(await networks.join(request.EndpointID, request.SandboxKey)),
    ),

    'NetworkDriver.Leave': method(shapes.OneEndpoint, request => networks.leave(request.EndpointID)),

    'NetworkDriver.ProgramExternalConnectivity': method(shapes.ProgramExternalConnectivity, request =>
      networks.publish(request.EndpointID, portRequests(request.Options?.['com.docker.network.portmap'])),
    ),

    'NetworkDriver.RevokeExternalConnectivity': method(shapes.OneEndpoint, request =>
      networks.unpublish(request.EndpointID),
    ),

    'NetworkDriver.DiscoverNew': method(shapes.Discover, request => {
      const address = otherNode(request)
      if (address) nodes?.came(address)
    }),
    'NetworkDriver.DiscoverDelete': method(shapes.Discover, request => {
      const address = otherNode(request)
      if (address) nodes?.went(address)
    }),
  }
}
