import assert from 'node:assert/strict'
import type { Sandbox } from '../../core/faces.ts'
import { driverMethods } from '../../driver/methods.ts'
import { joinAnswer } from '../../driver/translate.ts'
import { type Bed, bed } from './client.ts'
import { MemoryNetworks } from './networks.ts'

const NetworkID = 'a'.repeat(64)
const EndpointID = 'b'.repeat(64)
const both = { NetworkID, EndpointID }
const Interface = { Address: '10.1.0.2/24', AddressIPv6: '', MacAddress: '' }
const pool = { AddressSpace: 'l', Pool: '10.1.0.0/24', Gateway: '10.1.0.1/24' }
const port = { Proto: 6, Port: 80, HostIP: '', HostPort: 8080, HostPortEnd: 8080 }

describe('the driver’s methods', () => {
  let networks: MemoryNetworks
  let daemon: Bed
  beforeEach(async () => {
    networks = new MemoryNetworks()
    daemon = await bed({ methods: driverMethods(networks, { scope: 'local' }) })
  })
  afterEach(() => daemon.stop())

  const ask = (name: string, body?: object) => daemon.call(`NetworkDriver.${name}`, body)
  const lastCall = () => JSON.parse(networks.calls.at(-1)?.replace(/^\w+ /, '') ?? '')

  /** A sentence about one field, and no call of the engine. */
  async function refused(name: string, body: object, sentence: RegExp): Promise<void> {
    const before = networks.calls.length
    const answer = await ask(name, body)
    assert.match(String(answer.body.Err), sentence)
    assert.equal(answer.status, 400)
    assert.equal(networks.calls.length, before)
  }

  it('an empty body does nothing, whatever the method', async () => {
    const argumentless = ['Plugin.Activate', 'NetworkDriver.GetCapabilities']
    for (const name of Object.keys(driverMethods(networks, { scope: 'local' })))
      assert.equal((await daemon.call(name)).status, argumentless.includes(name) ? 200 : 400, name)
    assert.deepEqual(networks.calls, [])
  })

  it('a network of all nodes is an overlay whose addresses the leader gives, unless it is something else', async () => {
    const answered = async (Options?: object) =>
      (await ask('AllocateNetwork', { NetworkID, Options, IPv4Data: null })).body.Options
    assert.deepEqual(await answered(), { mode: 'overlay', addresses: 'manual' })
    assert.deepEqual(await answered({ vni: '7' }), { vni: '7', mode: 'overlay', addresses: 'manual' })
    assert.deepEqual(await answered({ mode: 'bridge' }), { mode: 'bridge' })
  })

  it('tells the leader’s user of a wrong option among the options, which the nodes don’t see', async () => {
    const complaint = ({ words }: { words: Record<string, string> }) =>
      'vin' in words ? `option "vin" of ${Object.keys(words)}` : undefined
    const swarm = await bed({ methods: driverMethods(networks, { scope: 'global', complaint }) })
    const allocate = async (Options: object) => {
      const answer = await swarm.call('NetworkDriver.AllocateNetwork', { NetworkID, Options, IPv4Data: null })
      return answer.body.Options
    }
    const told = {
      vin: '7',
      mode: 'overlay',
      addresses: 'manual',
      refused: 'option "vin" of vin,mode,addresses',
    }
    assert.deepEqual(await allocate({ vin: '7' }), told)
    assert.deepEqual(await allocate(told), told)
    assert.deepEqual(await allocate({ vni: '7', refused: 'no' }), {
      vni: '7',
      mode: 'overlay',
      addresses: 'manual',
    })
    const Options = { 'com.docker.network.generic': told }
    await swarm.call('NetworkDriver.CreateNetwork', { NetworkID, Options, IPv4Data: [], IPv6Data: [] })
    await swarm.stop()
    assert.deepEqual(lastCall().words, { vin: '7', mode: 'overlay', addresses: 'manual' })
  })

  it('tells of other nodes that come and go, and of nothing else', async () => {
    const told: string[] = []
    const nodes = {
      came: (address: string) => told.push(`+${address}`),
      went: (address: string) => told.push(`-${address}`),
    }
    const swarm = await bed({ methods: driverMethods(networks, { scope: 'global', nodes }) })
    const data = { Address: '192.0.2.2', BindAddress: '', Self: false }
    for (const [method, DiscoveryType, DiscoveryData] of [
      ['DiscoverNew', 1, data],
      ['DiscoverNew', 1, { ...data, Address: '192.0.2.1', Self: true }],
      ['DiscoverNew', 2, {}],
      ['DiscoverDelete', 1, data],
    ] as const)
      assert.deepEqual(await swarm.call(`NetworkDriver.${method}`, { DiscoveryType, DiscoveryData }), {
        status: 200,
        body: {},
      })
    await swarm.stop()
    assert.deepEqual(told, ['+192.0.2.2', '-192.0.2.2'])
  })

  it('teardown of what is unknown, and twice, succeeds', async () => {
    const names = ['RevokeExternalConnectivity', 'Leave', 'DeleteEndpoint', 'DeleteNetwork', 'FreeNetwork']
    for (const name of [...names, ...names])
      assert.deepEqual(await ask(name, both), { status: 200, body: {} }, name)
  })

  it('null stands for every list and map, and unknown keys are no error', async () => {
    await ask('CreateNetwork', {
      NetworkID,
      Options: { 'com.docker.network.generic': null, 'com.docker.network.enable_ipv4': null, new: [1] },
      IPv4Data: [{ ...pool, AuxAddresses: null, New: {} }],
      IPv6Data: null,
      New: 1,
    })
    assert.deepEqual(lastCall(), {
      id: NetworkID,
      words: {},
      internal: false,
      enable: { ipv4: true, ipv6: false },
      ipv4: [{ pool: '10.1.0.0/24', gateway: '10.1.0.1/24', aux: {} }],
      ipv6: [],
    })
    const portmap = { 'com.docker.network.portmap': null, 'com.docker.network.endpoint.exposedports': null }
    assert.equal((await ask('CreateEndpoint', { ...both, Interface, Options: portmap })).status, 200)
    assert.equal((await ask('CreateEndpoint', { ...both, Interface, Options: null })).status, 200)
    assert.equal((await ask('ProgramExternalConnectivity', { ...both, Options: portmap })).status, 200)
  })

  it('several subnets of both families, without a gateway', async () => {
    const IPv4Data = [{ Pool: '10.1.0.0/24' }, { Pool: '10.2.0.0/24', Gateway: '' }]
    await ask('CreateNetwork', { NetworkID, IPv4Data, IPv6Data: [{ Pool: 'fd00::/64' }] })
    assert.deepEqual(lastCall().ipv4, [
      { pool: '10.1.0.0/24', aux: {} },
      { pool: '10.2.0.0/24', aux: {} },
    ])
    assert.deepEqual(lastCall().ipv6, [{ pool: 'fd00::/64', aux: {} }])
  })

  it('ports of every protocol, range and address', async () => {
    await ask('CreateNetwork', { NetworkID, IPv4Data: [pool] })
    const portmap = [
      { Proto: 17, IP: '', Port: 53, HostIP: '127.0.0.1', HostPort: 53, HostPortEnd: 53 },
      { Proto: 132, IP: '', Port: 80, HostIP: '::1', HostPort: 8000, HostPortEnd: 8010 },
      { Proto: 6, Port: 80 },
    ]
    await ask('CreateEndpoint', { ...both, Interface, Options: { 'com.docker.network.portmap': portmap } })
    assert.deepEqual(lastCall().ports, [
      { proto: 'udp', port: 53, hostIp: '127.0.0.1', hostPort: 53, hostPortEnd: 53 },
      { proto: 'sctp', port: 80, hostIp: '::1', hostPort: 8000, hostPortEnd: 8010 },
      { proto: 'tcp', port: 80, hostIp: '', hostPort: 0, hostPortEnd: 0 },
    ])
  })

  it('every port there is, as `-p 1-65535:1-65535/udp` asks for', async () => {
    const ports = Array.from({ length: 65535 }, (_, index) => index + 1)
    const Options = {
      'com.docker.network.endpoint.exposedports': ports.map(Port => ({ Proto: 17, Port })),
      'com.docker.network.portmap': ports.map(Port => ({
        ...port,
        Proto: 17,
        Port,
        HostPort: Port,
        HostPortEnd: Port,
      })),
    }
    await ask('CreateNetwork', { NetworkID, IPv4Data: [pool] })
    assert.equal((await ask('CreateEndpoint', { ...both, Interface, Options })).status, 200)
    assert.equal(lastCall().ports.length, 65535)
  })

  it('an endpoint’s own words are what the user typed, and not what Docker put beside them', async () => {
    await ask('CreateNetwork', { NetworkID, IPv4Data: [pool] })
    const Options = {
      k: 'v',
      'com.docker.network.driver.mtu': '1400',
      'com.docker.network.endpoint.sysctls': 'net.ipv4.conf.IFNAME.log_martians=1',
      'com.docker.network.endpoint.dnsservers': ['192.0.2.1'],
      'com.docker.network.endpoint.macaddress': 'AhEiM0RV',
      'com.docker.network.endpoint.exposedports': [],
      'com.docker.network.driver.private.no_proxy_6to4': false,
      'com.docker.network.portmap': [],
    }
    assert.equal((await ask('CreateEndpoint', { ...both, Interface, Options })).status, 200)
    assert.deepEqual(lastCall().options, { k: 'v', 'com.docker.network.driver.mtu': '1400' })
  })

  it('a wrong field is named', async () => {
    const endpoint = (change: object) => ({ ...both, Interface, ...change })
    const ports = (change: object) => ({
      Options: { 'com.docker.network.portmap': [{ ...port, ...change }] },
    })
    const portField = (name: string) => RegExp(`^Options\\.com\\.docker\\.network\\.portmap\\.0\\.${name}: `)
    await refused('Leave', { NetworkID }, /^EndpointID: /)
    await refused('Leave', { NetworkID, EndpointID: '../x' }, /^EndpointID: expected an id/)
    await refused('Join', both, /^SandboxKey: /)
    await refused('CreateNetwork', { NetworkID, IPv4Data: [{ Pool: '10.1.0.0' }] }, /^IPv4Data\.0\.Pool: /)
    await refused('CreateNetwork', { NetworkID, IPv6Data: [{ Pool: '10.1.0.0/24' }] }, /^IPv6Data\.0\.Pool: /)
    await refused(
      'CreateNetwork',
      { NetworkID, Options: { 'com.docker.network.generic': { k: 1 } } },
      /generic\.k: /,
    )
    await refused(
      'CreateEndpoint',
      endpoint({ Interface: { Address: '10.1.0.256/24' } }),
      /^Interface\.Address: /,
    )
    await refused(
      'CreateEndpoint',
      endpoint({ Interface: { ...Interface, MacAddress: 'x' } }),
      /MacAddress: /,
    )
    await refused('CreateEndpoint', endpoint({ Interface: null }), /the endpoint has no address/)
    await refused('CreateEndpoint', endpoint({ Options: { k: [[]] } }), /^Options\.k: expected string/)
    await refused('CreateEndpoint', endpoint(ports({ Proto: 1 })), portField('Proto'))
    await refused('CreateEndpoint', endpoint(ports({ Port: 0 })), portField('Port'))
    await refused('CreateEndpoint', endpoint(ports({ HostPort: 65536 })), portField('HostPort'))
    await refused('CreateEndpoint', endpoint(ports({ HostIP: 'lo' })), portField('HostIP'))
    await refused('ProgramExternalConnectivity', { ...both, ...ports({ Proto: '6' }) }, portField('Proto'))
  })

  it('an interface name can’t be had from a plugin', async () => {
    const name = (value: unknown) => ({
      ...both,
      Interface,
      Options: { 'com.docker.network.endpoint.ifname': value },
    })
    await refused('CreateEndpoint', name('wan0'), /ifname: .* -o interface_prefix=wan$/)
    await refused('CreateEndpoint', name('7'), /interface_prefix=eth$/)
    await refused('CreateEndpoint', name([]), /interface_prefix=eth$/)
  })

  it('a gateway is set aside unless no host address will use it', async () => {
    const check = async (words: Record<string, string>, internal = true) => {
      const Options = { 'com.docker.network.generic': words, 'com.docker.network.internal': internal }
      return (await ask('GwAllocCheck', { Options })).body
    }
    const bridge = 'com.docker.network.bridge'
    assert.deepEqual(await check({}), { SkipIPv4: false, SkipIPv6: false })
    assert.deepEqual(await check({ gateway_mode_ipv4: 'isolated' }), { SkipIPv4: true, SkipIPv6: false })
    assert.deepEqual(await check({ [`${bridge}.gateway_mode_ipv6`]: 'isolated' }), {
      SkipIPv4: false,
      SkipIPv6: true,
    })
    assert.deepEqual(await check({ [`${bridge}.inhibit_ipv4`]: 'true' }), { SkipIPv4: true, SkipIPv6: false })
    assert.deepEqual(await check({ inhibit_ipv4: 'true' }, false), { SkipIPv4: false, SkipIPv6: false })
    assert.deepEqual((await ask('GwAllocCheck', {})).body, { SkipIPv4: false, SkipIPv6: false })
  })
})

describe('what Join answers', () => {
  const sandbox: Sandbox = { link: 'tsc-1', prefix: 'eth', routes: [] }

  it('docker_gwbridge is for an endpoint without any gateway, not for one with IPv6 alone', () => {
    const disabled = (gateways: Partial<Sandbox>) =>
      joinAnswer({ ...sandbox, ...gateways }).DisableGatewayService
    assert.equal(disabled({}), false)
    assert.equal(disabled({ gateway4: '10.1.0.1' }), false)
    assert.equal(disabled({ gateway4: '10.1.0.1', gateway6: 'fd00::1' }), false)
    assert.equal(disabled({ gateway6: 'fd00::1' }), true)
  })

  it('routes by a hop and by the link', () => {
    const routes = [{ to: '10.2.0.0/16', via: '10.1.0.9' }, { to: '10.3.0.0/16' }]
    assert.deepEqual(joinAnswer({ ...sandbox, routes }).StaticRoutes, [
      { Destination: '10.2.0.0/16', RouteType: 0, NextHop: '10.1.0.9' },
      { Destination: '10.3.0.0/16', RouteType: 1, NextHop: '' },
    ])
  })
})
