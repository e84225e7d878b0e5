import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { join } from 'node:path'
import { until } from '../bed/until.ts'
import { Node, shim } from './node.ts'
import { type Answer, Plugin } from './runtime.ts'

const config = {
  cniVersion: '1.1.0',
  name: 'pods',
  type: 'tsnet-cni',
  ipam: { type: 'tsnet', subnet: '10.93.0.0/16' },
}
const dual = {
  ...config,
  name: 'dual',
  mtu: 1400,
  ipam: {
    type: 'tsnet',
    ranges: [{ subnet: '10.95.0.0/24' }, { subnet: 'fd00:95::/64' }],
    routes: [{ dst: '192.0.2.0/24' }, { dst: '2001:db8::/32', gw: 'fd00:95::1' }],
  },
}
const map = (hostPort: number, containerPort = 80) => ({
  runtimeConfig: { portMappings: [{ hostPort, containerPort, protocol: 'tcp' }] },
})
const success = (answer: Answer): Answer => {
  assert.equal(answer.code, 0, answer.stdout)
  return answer
}

/** The last line of what a web server says. busybox' static wget dies where it looks for names. */
const fetching = 'exec 3<>"/dev/tcp/$1/$2" && printf "GET / HTTP/1.0\\r\\n\\r\\n" >&3 && tail -n 1 <&3'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip

describeAsRoot('cni: life of a container', function () {
  this.timeout(60_000)
  let node: Node
  let plugin: Plugin
  before(async () => {
    node = await Node.up('life')
    plugin = new Plugin(shim, config, node.namespace, node.env)
  })
  after(() => node?.dispose())

  const busybox = (...argv: string[]) => ['busybox', ...argv]
  /** Answers its name to whoever connects. */
  const serving = async (
    sandbox: { run(...argv: string[]): Promise<string> },
    port: number,
    word: string,
  ) => {
    const folder = join(node.folder, word)
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'index.html'), word)
    await sandbox.run(...busybox('httpd', '-p', String(port), '-h', folder))
  }
  const fetched = (from: { run(...argv: string[]): Promise<string> }, address: string, port: number) =>
    from.run('timeout', '3', 'bash', '-c', fetching, '-', address, String(port))

  it('reaches its neighbour, its host and its host port', async () => {
    const [one, two] = [await node.sandbox(), await node.sandbox()]
    const first = success(await plugin.with(map(18080)).add(one)).json
    success(await plugin.add(two))
    const address = first.ips[0]?.address.split('/')[0] as string
    await serving(one, 80, 'one')
    const own = first.ips[0]?.gateway as string
    assert.equal(await fetched(two, address, 80), 'one')
    assert.equal(await fetched(node, address, 80), 'one')
    assert.equal(await fetched(node, '127.0.0.1', 18080), 'one')
    assert.equal(await fetched(two, own, 18080), 'one')
    assert.equal(await fetched(one, own, 18080), 'one')
    success(await plugin.with(map(18080)).del(one))
    await assert.rejects(fetched(node, '127.0.0.1', 18080))
    success(await plugin.del(two))
    await one.remove()
  })

  it('both families, MTU, routes and a way out', async () => {
    const pod = await node.sandbox()
    const both = plugin.with(dual)
    const { json } = success(await both.add(pod))
    assert.deepEqual(
      json.ips.map(each => each.address.replace(/\d+\/24/, 'x/24').replace(/[\da-f]+\/64/, 'x/64')),
      ['10.95.0.x/24', 'fd00:95::x/64'],
    )
    const lines = await pod.run('ip', '-o', 'address', 'show', 'dev', 'eth0')
    assert.ok(!/tentative|dadfailed/.test(lines), lines)
    assert.equal(lines.match(/fe80::/g)?.length, 1)
    assert.match(await pod.run('ip', 'link', 'show', 'dev', 'eth0'), /mtu 1400/)
    const routes = `${await pod.run('ip', 'route')}\n${await pod.run('ip', '-6', 'route')}`
    assert.match(routes, /192\.0\.2\.0\/24 dev eth0/)
    assert.match(routes, /2001:db8::\/32 via fd00:95::1/)
    assert.match(routes, /default via fd00:95::1/)
    await pod.run(...busybox('ping', '-c', '1', '-W', '2', 'fd00:95::1'))
    success(await both.check(pod, json))
    success(await both.del(pod))
  })

  for (const keys of ['hostPort', 'HostPort'] as const)
    it(`a host port that is taken is refused, ${keys} as its key, and nothing stays of the try`, async () => {
      const mapping =
        keys === 'hostPort'
          ? { hostPort: 18081, containerPort: 80, protocol: 'tcp' }
          : { HostPort: 18081, ContainerPort: 80, Protocol: 'TCP', HostIP: '' }
      const [one, two] = [await node.sandbox(), await node.sandbox()]
      const publishing = plugin.with({ runtimeConfig: { portMappings: [mapping] } })
      success(await publishing.add(one))
      const before = await node.traces()
      const refused = await publishing.add(two)
      assert.equal(refused.json.code, 102, refused.stdout)
      assert.match(refused.json.msg ?? '', /18081\/tcp/)
      assert.deepEqual(await two.links(), [])
      await eventually(before)
      success(await publishing.del(one))
    })

  it('a new sandbox of the same pod takes over the host port of its dead predecessor', async () => {
    const [one, two] = [await node.sandbox(), await node.sandbox()]
    const env = { CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=d;K8S_POD_UID=77' }
    const publishing = plugin.with(map(18082))
    success(await publishing.add(one, env))
    success(await publishing.add(two, env))
    assert.deepEqual(await one.links(), [])
    success(await publishing.del(one, env))
    assert.deepEqual(await two.links(), ['eth0'])
    success(await publishing.del(two, env))
  })

  it('host ports that the runtime listens at itself, before ADD (nerdctl) or after it (podman)', async () => {
    const env = { CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAME=a' }
    await serving(node, 18086, 'of the runtime')
    for (const port of [18086, 18087]) {
      const [one, two] = [await node.sandbox(), await node.sandbox()]
      const publishing = plugin.with(map(port))
      success(await publishing.add(one, env))
      if (port === 18087) await serving(node, port, 'of the runtime')
      assert.match((await publishing.add(two, env)).json.msg ?? '', new RegExp(`port ${port}/tcp .*taken`))
      await node.stop('SIGKILL')
      await node.start()
      await serving(one, 80, 'of the container')
      assert.equal(await fetched(node, '127.0.0.1', port), 'of the container')
      success(await publishing.del(one, env))
      // DEL answers a moment before the mapping goes; what came in between is answered by nobody.
      const again = () => fetched(node, '127.0.0.1', port).catch(() => '')
      await until("the port to be the runtime's again", async () => (await again()) === 'of the runtime')
    }
  })

  it('a host port that a program of the host has is refused to a pod', async () => {
    const pod = await node.sandbox()
    await serving(node, 18088, "of the host's own")
    const refused = await plugin.with(map(18088)).add(pod, { CNI_ARGS: 'K8S_POD_UID=78' })
    assert.match(refused.json.msg ?? '', /port 18088\/tcp at 0\.0\.0\.0 is already taken/)
  })

  it('an address and a MAC that were asked for in CNI_ARGS', async () => {
    const pod = await node.sandbox()
    const env = { CNI_ARGS: 'IgnoreUnknown=1;IP=10.93.77.8;MAC=02:00:00:AA:00:02' }
    const { json } = success(await plugin.add(pod, env))
    assert.equal(json.ips[0]?.address, '10.93.77.8/16')
    assert.equal(json.interfaces[2]?.mac, '02:00:00:aa:00:02')
    success(await plugin.del(pod))
    const refused = await plugin.add(pod, { CNI_ARGS: 'IP=10.93.77' })
    assert.match(refused.json.msg ?? '', /CNI_ARGS: IP can't be "10\.93\.77"/)
  })

  it('an address and a MAC that were asked for', async () => {
    const pod = await node.sandbox()
    const asking = plugin.with({ runtimeConfig: { ips: ['10.93.77.7/16'], mac: '02:00:00:AA:00:01' } })
    const { json } = success(await asking.add(pod))
    assert.equal(json.ips[0]?.address, '10.93.77.7/16')
    assert.equal(json.interfaces[2]?.mac, '02:00:00:aa:00:01')
    const other = await asking.add(await node.sandbox())
    assert.equal(other.json.code, 101, other.stdout)
    success(await asking.del(pod))
  })

  it('DNS as the runtime says it, and what plugins before it made', async () => {
    const pod = await node.sandbox()
    const prevResult = {
      cniVersion: '0.4.0',
      interfaces: [{ name: 'other0' }],
      ips: [{ version: '4', address: '192.0.2.9/24', interface: 0 }],
    }
    const chained = plugin.with({
      cniVersion: '0.4.0',
      prevResult,
      runtimeConfig: { dns: { Servers: ['10.0.0.10'], Searches: ['a.b'], Options: null } },
    })
    const { json } = success(await chained.add(pod))
    assert.deepEqual(json.dns, { nameservers: ['10.0.0.10'], search: ['a.b'] })
    assert.equal(json.interfaces.length, 4)
    assert.deepEqual(
      json.ips.map(each => [each.version, each.interface]),
      [
        ['4', 0],
        ['4', 3],
      ],
    )
    success(await chained.del(pod))
  })

  it('a chain with portmap, bandwidth and tuning behind it', async function () {
    const reference = (name: string) => join('/usr/lib/cni', name)
    if (!existsSync(reference('portmap'))) return this.skip()
    const pod = await node.sandbox()
    const first = plugin.with({ cniVersion: '1.0.0' })
    let result: object = success(await first.add(pod)).json
    const rest = [
      { type: 'portmap', ...map(18083), snat: true },
      { type: 'bandwidth', ingressRate: 8_000_000, ingressBurst: 8_000_000 },
      { type: 'tuning', sysctl: { 'net.ipv4.conf.IFNAME.arp_filter': '1' } },
    ].map(
      ({ type, ...more }) =>
        new Plugin(
          reference(type),
          { cniVersion: '1.0.0', name: 'pods', type, dataDir: node.folder, ...more },
          node.namespace,
        ),
    )
    for (const each of rest) result = success(await each.with({ prevResult: result }).add(pod)).json
    await serving(pod, 80, 'chained')
    assert.equal(await fetched(node, '127.0.0.1', 18083), 'chained')
    for (const each of [...rest, first].reverse()) success(await each.del(pod, {}, result))
    await pod.remove()
  })

  it('joins a network that Docker has, with addresses of the same book', async () => {
    const pool = await docker('IpamDriver.RequestPool', { AddressSpace: 'tsnet-local', Pool: '10.99.0.0/24' })
    const gateway = await docker('IpamDriver.RequestAddress', {
      PoolID: pool.PoolID,
      Options: { RequestAddressType: 'com.docker.network.gateway' },
    })
    const ask = { PoolID: pool.PoolID, Address: '' }
    await docker('NetworkDriver.CreateNetwork', {
      NetworkID: 'a'.repeat(64),
      Options: { 'com.docker.network.generic': { mode: 'overlay', name: 'shop' } },
      IPv4Data: [{ AddressSpace: 'tsnet-local', Pool: pool.Pool, Gateway: gateway.Address }],
      IPv6Data: [],
    })
    const pod = await node.sandbox()
    const joining = plugin.with({ network: 'shop', ipam: undefined })
    const { json } = success(await joining.add(pod))
    assert.match(json.ips[0]?.address ?? '', /^10\.99\.0\./)
    const other = await docker('IpamDriver.RequestAddress', ask)
    assert.notEqual(other.Address, json.ips[0]?.address)
    success(await joining.check(pod, json))
    success(await joining.del(pod))
    await docker('NetworkDriver.DeleteNetwork', { NetworkID: 'a'.repeat(64) })
    await docker('IpamDriver.ReleasePool', { PoolID: pool.PoolID })
  })

  /** What dockerd would say. */
  function docker(method: string, body: object): Promise<Record<string, string>> {
    const options = { socketPath: join(node.folder, 'docker.sock'), path: `/${method}`, method: 'POST' }
    return new Promise((done, fail) => {
      const sending = request(options, async answer => {
        const text = (await answer.toArray()).join('')
        if (answer.statusCode === 200) done(JSON.parse(text))
        else fail(new Error(text))
      })
      sending.on('error', fail).end(JSON.stringify(body))
    })
  }

  it('words that are not known are refused with a sentence', async () => {
    const pod = await node.sandbox()
    for (const [more, pattern] of [
      [{ subnet: '10.0.0.0/8' }, /"subnet" is not known; tsnet takes .*ipam/],
      [{ ipam: { type: 'host-local' } }, /ipam\.type has to be "tsnet"/],
      [{ ipam: undefined }, /ipam\.subnet is needed/],
      [{ network: 'nowhere' }, /no network of tsnet on this host is called "nowhere"/],
      [{ runtimeConfig: { bandwidth: { IngressRate: 1 } } }, /ingressRate can't be 1/],
    ] as const) {
      const answer = await plugin.with({ name: 'odd', ...more }).add(pod)
      assert.notEqual(answer.code, 0)
      assert.match(answer.json.msg ?? '', pattern)
    }
  })

  it('a configuration that was changed makes the network anew once nobody is on it', async () => {
    const [one, two] = [await node.sandbox(), await node.sandbox()]
    const of = (subnet: string) => plugin.with({ name: 'changing', ipam: { type: 'tsnet', subnet } })
    success(await of('10.96.0.0/24').add(one))
    assert.match((await of('10.97.0.0/24').add(two)).json.msg ?? '', /1 containers use it/)
    success(await of('10.97.0.0/24').del(one))
    assert.match(success(await of('10.97.0.0/24').add(two)).json.ips[0]?.address ?? '', /^10\.97\./)
    success(await of('10.97.0.0/24').del(two))
  })

  it('DELs that came while the daemon was away are done before the first ADD', async () => {
    const [one, two] = [await node.sandbox(), await node.sandbox()]
    const publishing = plugin.with(map(18084))
    success(await publishing.add(one))
    await node.stop()
    success(await publishing.del(one))
    success(await publishing.del(one, { CNI_NETNS: '' }))
    assert.equal(readdirSync(join(node.folder, 'run/spool')).length, 1)
    await node.start()
    success(await publishing.add(two))
    success(await publishing.del(two))
    assert.deepEqual((await node.traces()).spool, [])
  })

  it('ADD waits for a daemon that is on its way, and not for ever', async () => {
    const pod = await node.sandbox()
    await node.stop()
    const adding = plugin.add(pod)
    await node.start()
    success(await adding)
    success(await plugin.del(pod))
    await node.stop()
    const late = await plugin.add(pod)
    assert.equal(late.json.code, 11, late.stdout)
    await node.start()
    assert.ok(late.ms > 4000 && late.ms < 9000, `${late.ms} ms`)
  })

  it('STATUS waits for a daemon that restarts, and not for the first one after a boot', async () => {
    await node.stop()
    const asking = plugin.call('STATUS')
    await node.start()
    success(await asking)
    await node.stop()
    const late = await plugin.call('STATUS')
    await node.start()
    assert.equal(late.json.code, 50, late.stdout)
    assert.ok(late.ms > 4000 && late.ms < 9000, `${late.ms} ms`)
    const booted = new Plugin(shim, config, node.namespace, {
      TSNET_API: join(node.folder, 'none/tsnet.sock'),
    })
    const early = await booted.call('STATUS')
    assert.equal(early.json.code, 50, early.stdout)
    assert.ok(early.ms < 1000, `${early.ms} ms`)
  })

  it('a daemon that says nothing costs a bounded time, and its DELs are put off', async () => {
    const folder = join(node.folder, 'mute')
    mkdirSync(folder)
    const server = createServer(() => undefined).listen(join(folder, 'tsnet.sock'))
    const mute = new Plugin(shim, config, node.namespace, { TSNET_API: join(folder, 'tsnet.sock') })
    const pod = await node.sandbox()
    const [del, status, check] = await Promise.all([mute.del(pod), mute.call('STATUS'), mute.check(pod, {})])
    success(del)
    assert.equal(status.json.code, 50)
    assert.equal(check.json.code, 11)
    for (const { ms } of [del, status, check]) assert.ok(ms < 4000, `${ms} ms`)
    assert.equal(readdirSync(join(folder, 'spool')).length, 1)
    server.closeAllConnections()
    server.close()
  })

  it('after a restart everything is as it was', async () => {
    const pod = await node.sandbox()
    const publishing = plugin.with(map(18085))
    const { json } = success(await publishing.add(pod))
    await serving(pod, 80, 'still')
    const before = await node.traces()
    await node.stop('SIGKILL')
    assert.equal(await fetched(node, '127.0.0.1', 18085), 'still')
    await node.start()
    assert.equal(await fetched(node, '127.0.0.1', 18085), 'still')
    assert.deepEqual(await node.traces(), before)
    success(await publishing.check(pod, json))
    success(await publishing.del(pod))
    await pod.remove()
  })

  it('what died without a DEL while the daemon was away is cleared at its start, as after a reboot', async () => {
    // DEL answers before the kernel has taken the link away.
    const before = await until('earlier pods to be gone', async () => {
      const found = await node.traces()
      return found.links?.some(each => each.startsWith('tsv-')) ? undefined : found
    })
    const pods = await Promise.all(Array.from({ length: 5 }, () => node.sandbox()))
    await Promise.all(
      pods.map((pod, i) =>
        plugin
          .with(map(18100 + i))
          .add(pod)
          .then(success),
      ),
    )
    await node.stop('SIGKILL')
    for (const pod of pods) await pod.remove()
    await until(
      'the links to go with their namespaces',
      async () => !(await node.traces()).links?.some(isNew),
    )
    await node.start()
    await eventually(before)

    function isNew(name: string): boolean {
      return !before.links?.includes(name)
    }
  })

  const eventually = (wanted: object) =>
    until('nothing to be left', async () => {
      assert.deepEqual(await node.traces(), wanted)
      return true
    })

  it('everything is gone in the end', async () => {
    await until('the last links to go', async () => (await node.departing()).length === 0)
    const { records = [], links } = await node.traces()
    assert.deepEqual(
      records.filter(each => each.startsWith('endpoint')),
      [],
    )
    assert.deepEqual(
      records.filter(each => each.startsWith('lease') && !/\.1$|::1$/.test(each)),
      [],
    )
    assert.deepEqual(
      links?.filter(name => name.startsWith('tsv-')),
      [],
    )
  })
})
