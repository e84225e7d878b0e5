import assert from 'node:assert/strict'
import { contains, network } from '../../core/addresses.ts'
import { eventually, until } from '../bed/until.ts'
import { during, pinging } from '../docker/flows.ts'
import { absent } from './build.ts'
import { Cluster, type NodeName, nodeNames, places } from './cluster.ts'
import { PODS } from './control.ts'
import { leftOf, linksOf } from './left.ts'
import { ask, askFrom, inPod, pod, ready, service, started, statusOf, tellFrom } from './pods.ts'

const reason = absent()

;(reason ? describe.skip : describe)(`Kubernetes${reason ? `: ${reason}` : ''}`, function () {
  this.timeout(240_000)
  let cluster: Cluster
  const addresses: Record<string, string> = {}

  before(async () => {
    cluster = await Cluster.up()
    // Before others, who would get this address by chance.
    const port = { port: 53, targetPort: 9, protocol: 'UDP' }
    await cluster.apply(service('kube-dns', { clusterIP: '10.96.0.10' }, port))
  })
  after(() => cluster?.dispose())

  const node = (name: (typeof nodeNames)[number]) => cluster.nodes[name]
  const clusterIp = async (name: string) =>
    (await cluster.get<{ spec: { clusterIP: string } }>('service', name)).spec.clusterIP
  /** Endpoints of a service, once there are so many. */
  const endpoints = (name: string, count: number): Promise<string[]> =>
    until(`${name} to have ${count} endpoints`, async () => {
      const found = await cluster.get<{ subsets?: { addresses?: { ip: string }[] }[] }>('endpoints', name)
      const all = (found.subsets ?? []).flatMap(each => each.addresses ?? []).map(({ ip }) => ip)
      return all.length === count ? all.sort() : undefined
    })

  it('nodes are ready once tsnet is installed, and not before', async () => {
    await eventually(async () => {
      const { items } = await cluster.get<{ items: { status: { conditions: Condition[] } }[] }>('nodes')
      assert.equal(items.length, 3)
      for (const { status } of items)
        assert.match(status.conditions.find(({ type }) => type === 'Ready')?.message ?? '', /cni/i)
    }, 30_000)
    await cluster.installTsnet()
  })
  type Condition = { type: string; message: string }

  /** Prefixes that a node has a way to by others. */
  const waysFrom = async (name: NodeName): Promise<string[]> => {
    const routes = await node(name).run('ip', '-4', 'route', 'show', 'proto', '116')
    return routes.split('\n').flatMap(each => each.split(' ')[0] || [])
  }

  it('before the first pod every node has a way to each other one', async () => {
    for (const name of nodeNames)
      await eventually(async () => assert.equal((await waysFrom(name)).length, 2), 30_000)
  })

  it('every pod reaches every pod under its own address, on one node, one link and beyond a router', async () => {
    const specs = [...nodeNames, 'a' as const].map((node, index) => ({
      name: `web-${index}`,
      node,
      labels: { app: 'web' },
    }))
    const found = await started(cluster, ...specs)
    for (const [index, { name }] of specs.entries()) addresses[name] = found[index] as string
    for (const from of Object.keys(addresses))
      for (const to of Object.keys(addresses))
        await eventually(async () =>
          assert.deepEqual(await askFrom(cluster, from, addresses[to] as string), {
            pod: to,
            seen: addresses[from],
          }),
        )
  })

  it('nodes reach every pod, and are seen as themselves by pods of others', async () => {
    for (const name of nodeNames)
      for (const [index, at] of nodeNames.entries()) {
        const answer = await ask((...argv) => node(name).run(...argv), addresses[`web-${index}`] as string)
        assert.equal(answer.pod, `web-${index}`)
        if (name !== at) assert.equal(answer.seen, places[name])
      }
  })

  it('a cluster address leads to every pod of its service, which sees who asks', async () => {
    await cluster.apply(service('web', {}, { port: 8000, targetPort: 80 }))
    await endpoints('web', 4)
    const address = await clusterIp('web')
    for (const from of ['web-0', 'web-2']) {
      const met = new Set<string>()
      await until(
        'all to have answered',
        async () => {
          const { pod, seen } = await askFrom(cluster, from, address, 8000)
          // One that meets itself can't see itself.
          if (pod !== from) assert.equal(seen, addresses[from])
          return met.add(pod).size === 4
        },
        { deadline: 60_000 },
      )
    }
    for (const name of nodeNames) await ask((...argv) => node(name).run(...argv), address, 8000)
  })

  it('pods reach the API server by its cluster address', async () => {
    for (const from of ['web-0', 'web-2'])
      assert.match(
        await inPod(cluster, from, 'sh', '-c', 'echo | nc -w 3 10.96.0.1 443 && echo reached'),
        /reached/,
      )
  })

  it('datagrams to port 53 of a cluster address reach their server and come back', async () => {
    const [address] = await started(cluster, { name: 'dns', node: 'c', labels: { app: 'kube-dns' } })
    addresses.dns = address as string
    await endpoints('kube-dns', 1)
    for (const from of ['web-0', 'web-1', 'web-2'])
      await eventually(async () =>
        assert.deepEqual(await tellFrom(cluster, from, '10.96.0.10', 53), {
          pod: 'dns',
          seen: addresses[from],
        }),
      )
  })

  it("a headless service's endpoints are the pods' addresses", async () => {
    await cluster.apply({ ...service('bare', { clusterIP: 'None', selector: { app: 'web' } }, { port: 80 }) })
    const pods = Object.entries(addresses).flatMap(([name, address]) => (/^web/.test(name) ? address : []))
    assert.deepEqual(await endpoints('bare', 4), pods.sort())
  })

  it('a node port answers on every node, from outside, from nodes and from pods', async () => {
    await cluster.apply(
      service('only-b', { type: 'NodePort' }, { port: 80, nodePort: 30080 }),
      pod({ name: 'only-b', node: 'b', labels: { app: 'only-b' } }),
    )
    addresses['only-b'] = await ready(cluster, 'only-b')
    await endpoints('only-b', 1)
    for (const name of nodeNames) {
      const seen = async (from: (...argv: string[]) => Promise<string>) =>
        assert.equal((await ask(from, places[name], 30080)).pod, 'only-b')
      await eventually(() => seen((...argv) => cluster.outsider(...argv)))
      for (const from of nodeNames) await seen((...argv) => node(from).run(...argv))
      for (const from of ['web-0', 'web-1', 'web-2'])
        assert.equal((await askFrom(cluster, from, places[name], 30080)).pod, 'only-b')
    }
  })

  it('with externalTrafficPolicy Local the pod sees who asks from outside, and other nodes are silent', async () => {
    await cluster.apply(
      service('local-c', { type: 'NodePort', externalTrafficPolicy: 'Local' }, { port: 80, nodePort: 30081 }),
      pod({ name: 'local-c', node: 'c', labels: { app: 'local-c' } }),
    )
    addresses['local-c'] = await ready(cluster, 'local-c')
    await endpoints('local-c', 1)
    const outside = (...argv: string[]) => cluster.outsider(...argv)
    await eventually(async () =>
      assert.deepEqual(await ask(outside, places.c, 30081), { pod: 'local-c', seen: '10.77.2.254' }),
    )
    await assert.rejects(ask(outside, places.a, 30081))
  })

  it('a host port answers from outside, from other nodes, from its own, and from pods', async () => {
    const container = { ports: [{ containerPort: 80, hostPort: 31080, protocol: 'TCP' }] }
    const [address] = await started(cluster, { name: 'host-port', node: 'a', container })
    addresses['host-port'] = address as string
    const outside = await ask((...argv) => cluster.outsider(...argv), places.a, 31080)
    assert.deepEqual(outside, { pod: 'host-port', seen: cluster.outside })
    for (const from of nodeNames)
      assert.equal((await ask((...argv) => node(from).run(...argv), places.a, 31080)).pod, 'host-port')
    for (const from of ['web-0', 'web-1', 'web-2'])
      assert.equal((await askFrom(cluster, from, places.a, 31080)).pod, 'host-port')
  })

  it('probes from the node decide: ready, not ready, started anew', async () => {
    const probe = (path: string) => ({ httpGet: { path, port: 80 }, periodSeconds: 1, failureThreshold: 2 })
    await cluster.apply(
      pod({ name: 'well', node: 'c', container: { readinessProbe: probe('/') } }),
      pod({ name: 'ill', node: 'c', container: { readinessProbe: probe('/nothing') } }),
      pod({ name: 'dying', node: 'c', container: { livenessProbe: probe('/nothing') } }),
    )
    await ready(cluster, 'well')
    await until(
      'the dying one to be started anew',
      async () =>
        (await statusOf(cluster, 'dying')).status.containerStatuses?.some(each => each.restartCount > 0),
      { deadline: 60_000, every: 300 },
    )
    const { status } = await statusOf(cluster, 'ill')
    assert.equal(status.phase, 'Running')
    assert.equal(status.conditions?.find(({ type }) => type === 'Ready')?.status, 'False')
    await cluster.kubectl('delete', 'pod', 'well', 'ill', 'dying', '--wait=true')
  })

  it("pods with their node's network reach pods everywhere, and are reached", async () => {
    await started(cluster, { name: 'node-a', node: 'a', hostNetwork: true })
    for (const to of ['web-0', 'web-1', 'web-2']) {
      const answer = await askFrom(cluster, 'node-a', addresses[to] as string)
      assert.equal(answer.pod, to)
      if (to !== 'web-0') assert.equal(answer.seen, places.a)
    }
    // What leaves the pods' network is masqueraded.
    const seen = { 'web-0': addresses['web-0'], 'web-1': places.b, 'web-2': places.c }
    for (const [from, address] of Object.entries(seen)) {
      assert.equal((await askFrom(cluster, from, places.a)).seen, address)
    }
    await cluster.kubectl('delete', 'pod', 'node-a', '--wait=true')
  })

  it('while every tsnetd is replaced, flows go on and new pods come', async () => {
    const within = { enter: (...argv: string[]) => cluster.enter('web-0', ...argv) }
    const flows = ['web-1', 'web-2', 'web-3'].map(to => pinging(within, addresses[to] as string))
    await during(flows, async () => {
      await cluster.kubectl('rollout', 'restart', '-n', 'kube-system', 'daemonset/tsnet')
      for (const [index, at] of nodeNames.entries())
        await cluster.apply(pod({ name: `late-${index}`, node: at }))
      await cluster.rolledOut()
    })
    for (const index of nodeNames.keys()) {
      const address = await ready(cluster, `late-${index}`)
      for (const from of ['web-0', 'web-2'])
        await eventually(async () =>
          assert.equal((await askFrom(cluster, from, address)).pod, `late-${index}`),
        )
    }
  })

  const addressesOn = async (name: NodeName): Promise<string[]> => {
    type Pods = { items: { status: { podIP: string } }[] }
    const { items } = await cluster.get<Pods>('pods', `--field-selector=spec.nodeName=${name}`)
    return items.map(({ status }) => status.podIP)
  }
  const nothingLeft = async (addresses: readonly string[]) => {
    for (const name of nodeNames)
      await eventually(async () => assert.deepEqual(await leftOf(cluster, name, addresses), []), 30_000)
  }

  it('a drained node keeps nothing of its pods, and others no way to them', async () => {
    const gone = await addressesOn('c')
    assert.ok(gone.length > 2)
    const drain = ['--ignore-daemonsets', '--force', '--delete-emptydir-data', '--timeout=60s']
    await cluster.kubectl('drain', 'c', ...drain)
    await nothingLeft(gone)
    await eventually(async () => assert.deepEqual(await linksOf(cluster, 'c'), []))
    await cluster.kubectl('uncordon', 'c')
  })

  it('when all pods are deleted nothing is left', async () => {
    const gone = [...(await addressesOn('a')), ...(await addressesOn('b'))]
    await cluster.kubectl('delete', 'pods', '--all', '--wait=true', '--timeout=60s')
    await nothingLeft(gone)
    for (const name of nodeNames)
      await eventually(async () => assert.deepEqual(await linksOf(cluster, name), []))
  })

  it('with podCIDR, pods have addresses that Kubernetes set aside for their node', async () => {
    await cluster.installTsnet({ type: 'tsnet', subnet: PODS, podCIDR: true })
    const specs = nodeNames.map(node => ({ name: `own-${node}`, node }))
    const found = await started(cluster, ...specs)
    for (const [index, name] of nodeNames.entries()) {
      const { spec } = await cluster.get<{ spec: { podCIDR: string } }>('node', name)
      assert.ok(contains(network(spec.podCIDR), found[index] as string), `${found[index]} in ${spec.podCIDR}`)
    }
    for (const { name } of specs)
      for (const [index, to] of found.entries())
        await eventually(async () =>
          assert.deepEqual(await askFrom(cluster, name, to), {
            pod: `own-${nodeNames[index]}`,
            seen: found[specs.findIndex(each => each.name === name)],
          }),
        )
  })

  it('with podCIDR, every node has one way to each other one and reaches its pods, with pods or without', async () => {
    await cluster.kubectl('delete', 'pods', '--all', '--wait=true', '--timeout=60s')
    const all = await cluster.get<{ items: { metadata: { name: string }; spec: { podCIDR: string } }[] }>(
      'nodes',
    )
    const cidrs = new Map(all.items.map(({ metadata, spec }) => [metadata.name, spec.podCIDR]))
    for (const name of nodeNames)
      await eventually(async () => {
        const others = nodeNames.filter(each => each !== name).map(each => cidrs.get(each))
        assert.deepEqual((await waysFrom(name)).sort(), others.sort())
      }, 30_000)
    const [address = ''] = await started(cluster, { name: 'only', node: 'b' })
    for (const name of ['a', 'c'] as const) {
      const answer = await ask((...argv) => node(name).run(...argv), address)
      assert.deepEqual(answer, { pod: 'only', seen: places[name] })
    }
  })

  it('without its configuration nothing of the network is left on a node', async () => {
    await cluster.kubectl('delete', 'pods', '--all', '--wait=true', '--timeout=60s')
    await cluster.uninstallTsnet()
    for (const name of nodeNames)
      await eventually(async () => {
        assert.equal((await node(name).run('ip', 'route', 'show', 'proto', '116')).trim(), '')
        assert.doesNotMatch(await node(name).run('ip', 'link', 'show'), / ts[bx]-/)
      }, 60_000)
  })
})
