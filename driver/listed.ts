import type Docker from 'dockerode'

/** What Docker holds of what it asked us for. */
export type Listed = {
  networks: Set<string>
  endpoints: Set<string>
  pools: ListedPool[]
  /** What people call them: networks by id, endpoints (by their containers) by id. */
  names: Map<string, string>
}

/** One subnet of a network, with every address that Docker knows to be in use on that network. */
export type ListedPool = { subnet: string; range?: string; addresses: Set<string> }

/**
 * Docker's own list: the networks that it knows among `ids`, and everybody's endpoints and addresses on all its networks
 * (tsnet may be the address driver of a network that isn't tsnet's). Never call it while serving a request: dockerd may be
 * waiting for the answer with its lock held.
 * @throws what dockerode throws when there is no engine.
 */
export async function listed(docker: Docker): Promise<Listed> {
  const summaries = await docker.listNetworks()
  const details = await Promise.all(summaries.map(each => inspect(docker, each.Id)))
  const networks = details.filter(each => each !== undefined)
  return {
    networks: new Set(networks.map(each => each.Id)),
    endpoints: new Set(networks.flatMap(each => containers(each).map(one => one.EndpointID))),
    pools: networks.flatMap(poolsOf),
    names: new Map(networks.flatMap(namesOf)),
  }
}

/** A network may go between the list and the look. */
async function inspect(docker: Docker, id: string): Promise<Docker.NetworkInspectInfo | undefined> {
  try {
    return await docker.getNetwork(id).inspect()
  } catch (error) {
    if ((error as { statusCode?: number }).statusCode === 404) return undefined
    throw error
  }
}

const containers = (network: Docker.NetworkInspectInfo) => Object.values(network.Containers ?? {})

const namesOf = (network: Docker.NetworkInspectInfo): [string, string][] => [
  [network.Id, network.Name],
  ...containers(network).map((one): [string, string] => [one.EndpointID, one.Name]),
]

type Config = {
  Subnet?: string
  IPRange?: string
  Gateway?: string
  AuxiliaryAddresses?: Record<string, string>
}

function poolsOf(network: Docker.NetworkInspectInfo): ListedPool[] {
  const configs = (network.IPAM?.Driver === 'null' ? [] : (network.IPAM?.Config ?? [])) as Config[]
  const addresses = addressesOf(network, configs)
  return configs.flatMap(({ Subnet, IPRange }) =>
    Subnet ? [{ subnet: Subnet, ...(IPRange && { range: IPRange }), addresses }] : [],
  )
}

function addressesOf(network: Docker.NetworkInspectInfo, configs: Config[]): Set<string> {
  const addresses = [
    ...configs.flatMap(({ Gateway, AuxiliaryAddresses }) => [
      Gateway,
      ...Object.values(AuxiliaryAddresses ?? {}),
    ]),
    ...containers(network).flatMap(one => [one.IPv4Address, one.IPv6Address]),
  ]
  return new Set(addresses.flatMap(address => address?.split('/')[0] || []))
}
