import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Member, Status } from '../../cli/answers.ts'
import { inNamespace } from '../bed/namespace.ts'
import { attempt } from '../bed/run.ts'
import { until } from '../bed/until.ts'
import { during, pinging } from '../docker/flows.ts'
import { type Node, type Sandbox, shim } from './node.ts'
import { type Name, names, places, Routed } from './routed.ts'
import { Plugin } from './runtime.ts'

const config = { cniVersion: '1.0.0', name: 'pods', type: 'tsnet-cni' }
const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip

type Pod = { sandbox: Sandbox; address: string; node: Node; plugin: Plugin }

describeAsRoot('cni: nodes among each other', function () {
  this.timeout(120_000)
  let bed: Routed
  let nodes: Record<Name, Node>
  const plugins = {} as Record<Name, Plugin>

  before(async () => {
    bed = await Routed.bare()
    nodes = bed.nodes
    await bed.start()
    for (const name of names) plugins[name] = new Plugin(shim, config, nodes[name].namespace, nodes[name].env)
  })
  after(() => bed?.dispose())

  async function pod(name: Name, more: object = {}): Promise<Pod> {
    const plugin = plugins[name].with(more as Record<string, unknown>)
    const sandbox = await nodes[name].sandbox()
    const { code, stdout, json } = await plugin.add(sandbox)
    assert.equal(code, 0, `${stdout}\n${nodes[name].log()}`)
    return { sandbox, plugin, node: nodes[name], address: json.ips[0]?.address.split('/')[0] as string }
  }

  /** Answers with the address of whoever asks. */
  const serving = (at: { run(...argv: string[]): Promise<string> }, port: number, name: string) => {
    const folder = join(nodes.a.folder, name, 'cgi-bin')
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'who'), '#!/bin/sh\nprintf "\\r\\n$REMOTE_ADDR"\n', { mode: 0o755 })
    return at.run('busybox', 'httpd', '-p', String(port), '-h', join(nodes.a.folder, name))
  }
  const script =
    'exec 3<>"/dev/tcp/$1/$2" && printf "GET /cgi-bin/who HTTP/1.0\\r\\n\\r\\n" >&3 && tail -n 1 <&3'
  const asked = async (from: { run(...argv: string[]): Promise<string> }, address: string, port = 80) =>
    (await from.run('timeout', '3', 'bash', '-c', script, '-', address, String(port))).replaceAll(
      /\[(::ffff:)?|\]/g,
      '',
    )

  let pods: Record<Name, Pod>

  it('gives addresses of blocks that no other node has, without a configuration of addresses', async () => {
    pods = { a: await pod('a'), b: await pod('b'), c: await pod('c') }
    const found = names.map(name => pods[name].address)
    assert.equal(
      new Set(found.map(each => each.split('.').slice(0, 3).join('.') + (Number(each.split('.')[3]) >> 6)))
        .size,
      3,
    )
  })

  it('every pod reaches every pod, under its own address', async () => {
    for (const name of names) await serving(pods[name].sandbox, 80, name)
    for (const from of names)
      for (const to of names)
        await until(`${from} to reach ${to}`, async () => {
          assert.equal(await asked(pods[from].sandbox, pods[to].address), pods[from].address)
          return true
        })
  })

  const routesOf = async (node: Node) =>
    (await node.run('ip', 'route', 'show', 'proto', '116')).split('\n').filter(Boolean)
  /** The prefix that a node was given its first addresses of. */
  const blockOf = ({ address }: Pod) => address.replace(/\d+$/, last => `${Number(last) & ~63}/26`)

  it('straight where nodes share a link, by the tunnel elsewhere: one route a node', async () => {
    const [near = '', far = '', ...others] = (await routesOf(nodes.a)).sort((one, other) =>
      one.includes('eth0') ? -1 : other.includes('eth0') ? 1 : 0,
    )
    assert.ok(near.startsWith(`${blockOf(pods.b)} via ${places.b} dev eth0 `), near)
    assert.ok(far.startsWith(`${blockOf(pods.c)} via ${places.c} dev tsb-`), far)
    assert.deepEqual(others, [])
  })

  it('as many rows as nodes, however many pods these have', async () => {
    const rows = async () =>
      Promise.all([
        routesOf(nodes.a),
        ...['neigh', 'fdb'].map(async table => {
          const argv =
            table === 'neigh' ? ['ip', 'neigh', 'show', 'nud', 'permanent'] : ['bridge', 'fdb', 'show']
          return (await nodes.a.run(...argv))
            .split('\n')
            .filter(each => each && !/ (33:33|01:00):/.test(` ${each}`))
            .sort()
        }),
      ])
    const before = await rows()
    const crowd = await Promise.all(Array.from({ length: 12 }, (_, i) => pod(i % 2 ? 'b' : 'c')))
    for (const { address } of crowd)
      await pods.a.sandbox.run('busybox', 'ping', '-c', '1', '-W', '5', address)
    assert.deepEqual(await rows(), before)
    for (const { plugin, sandbox } of crowd) assert.equal((await plugin.del(sandbox)).code, 0)
  })

  it('a packet for an address that nobody has ends at the node whose block it is in', async () => {
    for (const to of [pods.b, pods.c]) {
      const nobody = to.address.replace(/\d+$/, last => `${(Number(last) & ~63) + 60}`)
      const ping = ['busybox', 'ping', '-c', '1', '-W', '1', nobody]
      // The kernel clears such entries away every 15 s.
      await until(`${nobody} to be looked for at its node`, async () => {
        const { code } = await attempt(pods.a.sandbox.enter(...ping))
        assert.equal(code, 1)
        return /dev tsb-\S+ .*FAILED/.test(await to.node.run('ip', 'neigh', 'show', 'to', nobody))
      })
    }
    // Where two send it to each other, one of them tells of it in the end (net/ipv4/icmp.c, ICMP_TIME_EXCEEDED).
    for (const name of names) assert.equal(await icmp(nodes[name], 'OutTimeExcds'), 0, name)
  })

  /** A counter of ICMP's of a node. */
  async function icmp(node: Node, counter: string): Promise<number> {
    const all = (await node.run('cat', '/proc/net/snmp')).split('\n')
    const [words = '', counts = ''] = all.filter(each => each.startsWith('Icmp: '))
    return Number(counts.split(' ')[words.split(' ').indexOf(counter)])
  }

  it("a pod's packets go on by its own node, which tells it of no shorter way", async () => {
    const { sandbox } = pods.a
    await sandbox.run('ping', '-c', '10', '-i', '0.1', pods.c.address)
    assert.equal(await icmp(nodes.a, 'OutRedirects'), 0)
    assert.match(await sandbox.run('ip', 'route', 'get', pods.c.address), / via 10\.93\.0\.1 /)
  })

  /** What a node is called in a network: of its addresses on the bridges the one that no other node has. */
  const calledIn = async (node: Node, network: string) => {
    const lines = await node.run('ip', '-o', 'address', 'show', 'scope', 'global', 'to', network)
    return / inet6? (\S+)\/(?:32|128) /.exec(lines)?.[1] ?? ''
  }

  it('a node has an address of its own block, whether it has a pod or not', async () => {
    for (const name of names) {
      const own = await until(`${name} to have one`, () => calledIn(nodes[name], '10.93.0.0/16'))
      assert.equal(blockOf({ ...pods[name], address: own }), blockOf(pods[name]))
    }
  })

  it('every node reaches every pod: by the tunnel it is seen by that address, straight by its real one', async () => {
    for (const from of names)
      for (const to of names.filter(each => each !== from)) {
        const isFar = [from, to].includes('c')
        const own = isFar ? await calledIn(nodes[from], '10.93.0.0/16') : places[from]
        await until(
          `${from} to be seen as ${own}`,
          async () => (await asked(nodes[from], pods[to].address)) === own,
        )
      }
  })

  it('a router that lets nobody send under an address of a pod is no obstacle to the tunnel', async () => {
    await checked('inet', '10.93.0.0/16', async () => {
      for (const [from, to] of [
        ['a', 'c'],
        ['c', 'a'],
      ] as const) {
        await asked(nodes[from], pods[to].address)
        await asked(pods[from].sandbox, pods[to].address)
      }
    })
  })

  /** As clouds do, and links with a strict rp_filter: what comes from such an address goes no further. */
  async function checked(
    family: 'inet' | 'bridge',
    source: string,
    work: () => Promise<void>,
  ): Promise<void> {
    const rules = `type filter hook forward priority 0; ip saddr ${source} drop;`
    await inNamespace(bed.router, 'nft', `table ${family} check { chain forward { ${rules} }; }`)
    try {
      await work()
    } finally {
      await inNamespace(bed.router, 'nft', 'delete', 'table', family, 'check')
    }
  }

  it('every pod reaches every node', async () => {
    for (const name of names) await serving(nodes[name], 8088, `node-${name}`)
    for (const from of names) for (const to of names) await asked(pods[from].sandbox, places[to], 8088)
  })

  it('packets of the size that the MTU allows pass, not fragmented', async () => {
    const { sandbox } = pods.a
    const mtu = Number(/mtu (\d+)/.exec(await sandbox.run('ip', 'link', 'show', 'dev', 'eth0'))?.[1])
    assert.equal(mtu, 1450)
    for (const name of ['b', 'c'] as const)
      await sandbox.run('busybox', 'ping', '-c', '1', '-W', '2', '-s', String(mtu - 28), pods[name].address)
  })

  it('a service that is translated on the node keeps the address of who asks, on one node and across', async () => {
    const neighbour = await pod('a')
    await serving(neighbour.sandbox, 80, 'neighbour')
    for (const [vip, to] of [
      ['10.250.0.1', neighbour.address],
      ['10.250.0.2', pods.b.address],
      ['10.250.0.3', pods.c.address],
    ]) {
      await service(nodes.a, vip as string, to as string)
      assert.equal(await asked(pods.a.sandbox, vip as string), pods.a.address)
      await asked(nodes.a, vip as string)
    }
    await neighbour.plugin.del(neighbour.sandbox)
  })

  it('a pod reaches itself by a service', async () => {
    const { sandbox, address } = pods.a
    await service(nodes.a, '10.250.0.4', address)
    // kube-proxy marks what comes from the pod that it chose, and masquerades what is marked.
    const rule = ['POSTROUTING', '-s', address, '-d', address, '-j', 'MASQUERADE']
    await nodes.a.run('iptables', '-t', 'nat', '-A', ...rule)
    assert.equal(await asked(sandbox, '10.250.0.4'), await calledIn(nodes.a, '10.93.0.0/16'))
    await nodes.a.run('iptables', '-t', 'nat', '-D', ...rule)
  })

  it('a pod reaches itself by its own host port', async () => {
    const portMappings = [{ hostPort: 31001, containerPort: 80, protocol: 'tcp' }]
    const itself = await pod('a', { runtimeConfig: { portMappings } })
    await serving(itself.sandbox, 80, 'itself')
    assert.equal(await asked(itself.sandbox, places.a, 31001), await calledIn(nodes.a, '10.93.0.0/16'))
    assert.equal(await asked(pods.a.sandbox, places.a, 31001), pods.a.address)
    await itself.plugin.del(itself.sandbox)
  })

  /** As kube-proxy writes it: DNAT for pods and for the node itself. */
  async function service(node: Node, vip: string, to: string): Promise<void> {
    for (const chain of ['PREROUTING', 'OUTPUT'])
      await node.run(
        'iptables',
        '-t',
        'nat',
        '-A',
        chain,
        '-d',
        `${vip}/32`,
        '-p',
        'tcp',
        '--dport',
        '80',
        '-j',
        'DNAT',
        '--to-destination',
        `${to}:80`,
      )
  }

  it('a node port that is masqueraded leads to pods of other nodes', async () => {
    for (const [port, to] of [
      [30001, pods.b.address],
      [30002, pods.c.address],
    ] as const) {
      const match = ['-p', 'tcp', '--dport', String(port)]
      await nodes.a.run(
        'iptables',
        '-t',
        'nat',
        '-A',
        'PREROUTING',
        ...match,
        '-j',
        'DNAT',
        '--to-destination',
        `${to}:80`,
      )
      await nodes.a.run(
        'iptables',
        '-t',
        'nat',
        '-A',
        'POSTROUTING',
        '-d',
        to,
        '-p',
        'tcp',
        '--dport',
        '80',
        '-m',
        'conntrack',
        '--ctstate',
        'DNAT',
        '-j',
        'MASQUERADE',
      )
      await asked({ run: (...argv) => inNamespace(bed.router, ...argv) }, places.a, port)
    }
  })

  it('a host port answers from other nodes', async () => {
    const published = await pod('c', {
      runtimeConfig: { portMappings: [{ hostPort: 31000, containerPort: 80, protocol: 'tcp' }] },
    })
    await serving(published.sandbox, 80, 'published')
    assert.equal(await asked(nodes.a, places.c, 31000), places.a)
    await asked(pods.b.sandbox, places.c, 31000)
    await published.plugin.del(published.sandbox)
  })

  const dual = {
    name: 'dual',
    mode: 'nodes',
    ipam: { type: 'tsnet', ranges: [{ subnet: '10.98.0.0/16' }, { subnet: 'fd00:98::/64' }] },
  }
  /** The IPv6 address of a pod. */
  const sixOf = async ({ sandbox }: Pod): Promise<string> => {
    const lines = await sandbox.run('ip', '-o', '-6', 'address', 'show', 'dev', 'eth0', 'scope', 'global')
    return /inet6 ([^/]+)\/128/.exec(lines)?.[1] as string
  }

  it('both families, over nodes that have one', async () => {
    const [one, near, far] = [await pod('a', dual), await pod('b', dual), await pod('c', dual)]
    for (const each of [near, far]) {
      const six = await sixOf(each)
      await until(`${six} to answer`, () => one.sandbox.run('busybox', 'ping', '-c', '1', '-W', '1', six))
    }
    for (const each of [near, far])
      await until(`${each.address} to answer`, () =>
        one.sandbox.run('busybox', 'ping', '-c', '1', '-W', '1', each.address),
      )
    for (const { plugin, sandbox } of [one, near, far]) assert.equal((await plugin.del(sandbox)).code, 0)
  })

  it('a node is seen by IPv6 though it has no such address but that in the network', async () => {
    const near = await pod('b', dual)
    await serving(near.sandbox, 80, 'near')
    const six = await sixOf(near)
    const own = await until('a to have one', () => calledIn(nodes.a, 'fd00:98::/64'))
    await until(`${six} to answer`, async () => (await asked(nodes.a, six)) === own)
    await near.plugin.del(near.sandbox)
  })

  it('what is masqueraded into the tunnel has that address, whatever resembles the pod’s more', async () => {
    const far = await pod('c', dual)
    await serving(far.sandbox, 80, 'far')
    const six = await sixOf(far)
    const own = await calledIn(nodes.a, 'fd00:98::/64')
    // As kube-proxy has cluster addresses in mode ipvs.
    const resembling = six.replace(/.$/, last => (last === '0' ? '1' : '0'))
    await nodes.a.run('ip', 'link', 'add', 'kube-ipvs0', 'type', 'bridge')
    await nodes.a.run(
      'ip',
      'address',
      'add',
      `${resembling}/128`,
      'dev',
      'kube-ipvs0',
      'nodad',
      'noprefixroute',
    )
    const rule = ['POSTROUTING', '-d', six, '-j', 'MASQUERADE']
    await nodes.a.run('ip6tables', '-t', 'nat', '-A', ...rule)
    await until('the answer', async () => (await asked(nodes.a, six)) === own)
    await nodes.a.run('ip6tables', '-t', 'nat', '-D', ...rule)
    await nodes.a.run('ip', 'link', 'delete', 'kube-ipvs0')
    await far.plugin.del(far.sandbox)
  })

  it('direct routing may be declined: nothing leaves a node under an address of a pod', async () => {
    const tunnelled = {
      name: 'cloud',
      mode: 'nodes',
      direct: false,
      ipam: { type: 'tsnet', subnet: '10.97.0.0/16' },
    }
    const [one, near] = [await pod('a', tunnelled), await pod('b', tunnelled)]
    await serving(near.sandbox, 80, 'cloud')
    await checked('bridge', '10.97.0.0/16', async () => {
      await until('the pod', async () => (await asked(one.sandbox, near.address)) === one.address)
      const own = await until('a to have one', () => calledIn(nodes.a, '10.97.0.0/16'))
      await until('the node', async () => (await asked(nodes.a, near.address)) === own)
    })
    for (const { plugin, sandbox } of [one, near]) assert.equal((await plugin.del(sandbox)).code, 0)
  })

  it('podCIDR is refused where it makes no sense, or nobody can tell it', async () => {
    const ipam = { type: 'tsnet', subnet: '10.99.0.0/16', podCIDR: true }
    const sandbox = await nodes.a.sandbox()
    const refused = async (more: object) => {
      const { code, json } = await plugins.a.with({ name: 'cidr', ipam, ...more }).add(sandbox)
      assert.notEqual(code, 0)
      return json.msg ?? ''
    }
    assert.match(await refused({ mode: 'overlay' }), /podCIDR is for mode "nodes", not "overlay"/)
    assert.match(await refused({}), /TSNET_NODE is not set/)
  })

  it('ways are there again after the link between nodes was down for a moment', async () => {
    const before = await routesOf(nodes.a)
    await nodes.a.run('sh', '-c', 'ip link set eth0 down && ip link set eth0 up')
    await nodes.a.run('ip', 'route', 'add', 'default', 'via', '10.77.1.254')
    await until('all ways', async () => (await routesOf(nodes.a)).join() === before.join())
    assert.equal(await asked(pods.a.sandbox, pods.b.address), pods.a.address)
  })

  it('ways to other nodes stay over restarts of daemons, and no packet is lost', async () => {
    const before = await routesOf(nodes.a)
    const flows = [pods.b, pods.c].map(({ address }) => pinging(pods.a.sandbox, address))
    await during(flows, async () => {
      await nodes.a.stop('SIGKILL')
      assert.deepEqual(await routesOf(nodes.a), before)
      await nodes.a.start()
      await heard(nodes.a)
    })
    assert.deepEqual(await routesOf(nodes.a), before)
  })

  const heard = (node: Node) =>
    until('all to be heard', async () => (await node.tsnet<Status>('status')).cluster?.complete === true)

  const waysToC = (routes: string[]) =>
    routes.filter(each => each.startsWith('10.93.') && each.includes(places.c))

  it('a node that is forgotten is no way to anything, until it comes back with a block of its own', async () => {
    const { host } = (await nodes.c.tsnet<Status>('status')).cluster ?? assert.fail('c has no cluster')
    const others = [nodes.a, nodes.b]
    const ways = async () => (await Promise.all(others.map(routesOf))).map(routes => waysToC(routes).length)
    assert.deepEqual(await ways(), [1, 1])
    await nodes.c.stop('SIGKILL')
    const state = async () =>
      (await nodes.a.tsnet<Member[]>('members')).find(each => each.host === host)?.state
    await until('it to be missed', async () => (await state()) === 'dead', { deadline: 60_000 })
    assert.deepEqual(await ways(), [1, 1], 'its pods may well live')
    await nodes.a.tsnet('forget', host)
    await until('the ways to go', async () => (await ways()).join() === '0,0')
    await nodes.c.start()
    await heard(nodes.c)
    const anew = await until('it to have addresses', () => pod('c'), { deadline: 90_000 })
    for (const { address } of [anew, pods.c])
      await until(`${address} to answer`, () =>
        pods.a.sandbox.run('busybox', 'ping', '-c', '1', '-W', '1', address),
      )
    assert.notEqual(blockOf(anew), blockOf(pods.c))
    await until('it to be called by an address of that', async () => {
      const address = await calledIn(nodes.c, '10.93.0.0/16')
      return blockOf({ ...anew, address }) === blockOf(anew)
    })
    const told = waysToC(await routesOf(nodes.a)).map(each => each.split(' ')[0])
    assert.deepEqual(told.sort(), [blockOf(anew), pods.c.address].sort())
  })
})
