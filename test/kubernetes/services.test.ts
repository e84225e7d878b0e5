import assert from 'node:assert/strict'
import { patience, timeout } from '../bed/patience.ts'
import { eventually, until } from '../bed/until.ts'
import { during, pinging, streaming } from '../docker/flows.ts'
import { tcp } from '../docker/probes.ts'
import { absent } from './build.ts'
import { Cluster, nodeNames, places } from './cluster.ts'
import { clusterDns } from './dns.ts'
import { NameServer } from './names.ts'
import { addressesAt, dnsOf, dual, pods } from './plan.ts'
import { addressesOf, ask, askFrom, inPod, pod, ready, tellFrom } from './pods.ts'
import { missing, proxyModes } from './proxy.ts'
import { clusterAddresses, endpoints, lookUp, objects, ports } from './services.ts'

const reason = absent()
const network = { mode: 'nodes', ipam: { type: 'tsnet', ranges: [{ subnet: pods[4] }, { subnet: pods[6] }] } }
const web = [...nodeNames, 'a' as const].map((node, index) => ({
  name: `web-${index}`,
  node,
  labels: { app: 'web' },
}))
const askers = ['web-0', 'web-1', 'web-2']
/** Addresses of a node, of both families. */
const at = (address: string) => addressesAt(dual, address)

;(reason ? describe.skip : describe)(`Kubernetes' services${reason ? `: ${reason}` : ''}`, function () {
  this.timeout(240_000 * patience)
  let cluster: Cluster
  let world: NameServer
  /** Addresses of pods, IPv4 first. */
  const addresses: Record<string, string[]> = {}

  before(async () => {
    cluster = await Cluster.up('iptables')
    await cluster.installTsnet(network)
    await cluster.apply(...clusterDns(dnsOf(dual), cluster.outside), ...web.map(pod), ...objects)
    for (const name of [...web.map(({ name }) => name), 'names', 'only-b', 'local-c', 'host-port']) {
      await ready(cluster, name)
      addresses[name] = await addressesOf(cluster, name)
    }
    for (const [name, count] of [
      ['web', 8],
      ['bare', 8],
      ['names', 2],
      ['only-b', 2],
      ['local-c', 2],
    ] as const)
      await endpoints(cluster, name, count)
    world = await NameServer.start(cluster.router, cluster.outside, {
      'outside.example': ['198.51.100.7', '2001:db8::7'],
    })
    await cluster.kubectl('rollout', 'status', '-n', 'kube-system', 'deployment/coredns', timeout(120))
  })
  after(async () => {
    await world?.stop()
    await cluster?.dispose()
  })

  const outsider = (...argv: string[]) => cluster.outsider(...argv)
  const node =
    (name: (typeof nodeNames)[number]) =>
    (...argv: string[]) =>
      cluster.nodes[name].run(...argv)

  it('every pod reaches every pod by IPv4 and by IPv6, and is seen under its own address', async () => {
    for (const from of Object.keys(addresses))
      for (const [to, all] of Object.entries(addresses)) {
        assert.equal(all.length, 2)
        for (const [family, address] of all.entries())
          await eventually(async () =>
            assert.deepEqual(await askFrom(cluster, from, address), {
              pod: to,
              seen: addresses[from]?.[family],
            }),
          )
      }
  })

  it('nodes reach every pod by both families, and are seen under an address of theirs', async () => {
    for (const from of nodeNames)
      for (const { name, node: there } of web)
        for (const [family, address] of (addresses[name] as string[]).entries()) {
          const answer = await ask(node(from), address)
          assert.equal(answer.pod, name)
          const seen = () => cluster.seenAs(from, there, family === 0 ? 4 : 6)
          if (from !== there) assert.equal(answer.seen, await seen())
        }
  })

  for (const mode of proxyModes) {
    const lacking = missing(mode)
    ;(lacking ? describe.skip : describe)(`kube-proxy: ${mode}${lacking ? `: ${lacking}` : ''}`, () => {
      before(() => cluster.proxy(mode))

      it('a cluster address leads to every pod of its service, which sees who asks, and to who asks itself', async () => {
        for (const [family, address] of (await clusterAddresses(cluster, 'web')).entries())
          for (const from of ['web-0', 'web-2']) {
            const met = new Set<string>()
            await until(
              `all to have answered ${from} at ${address}`,
              async () => {
                const { pod, seen } = await askFrom(cluster, from, address, 8000)
                // One that meets itself can't see itself.
                if (pod !== from) assert.equal(seen, addresses[from]?.[family])
                return met.add(pod).size === web.length
              },
              { deadline: 60_000 },
            )
          }
      })

      it('nodes reach cluster addresses', async () => {
        for (const address of await clusterAddresses(cluster, 'web'))
          for (const name of nodeNames) assert.match((await ask(node(name), address, 8000)).pod, /^web/)
      })

      it('pods reach the API server by its cluster address', async () => {
        const reach = 'echo | nc -w 3 10.96.0.1 443 && echo reached'
        for (const from of askers) assert.match(await inPod(cluster, from, 'sh', '-c', reach), /reached/)
      })

      it('datagrams to port 53 of a cluster address reach their server and come back', async () => {
        for (const [family, address] of (await clusterAddresses(cluster, 'names')).entries())
          for (const from of askers)
            await eventually(async () =>
              assert.deepEqual(await tellFrom(cluster, from, address, 53), {
                pod: 'names',
                seen: addresses[from]?.[family],
              }),
            )
      })

      it('datagrams of a flow find the pod that takes the place of one that went', async () => {
        const all = await clusterAddresses(cluster, 'moving')
        for (const [name, there] of [
          ['first', 'c'],
          ['second', 'b'],
        ] as const) {
          await cluster.apply(pod({ name, node: there, labels: { app: 'moving' } }))
          await ready(cluster, name)
          for (const address of all)
            await eventually(
              async () => assert.equal((await tellFrom(cluster, 'web-0', address, 53, 5300)).pod, name),
              30_000,
            )
          await cluster.kubectl('delete', 'pod', name, '--wait=true')
        }
      })

      it('a service without pods refuses at once, from pods and from nodes', async () => {
        const refused = (error: unknown) => {
          assert.match(String(error), /refused/i)
          return true
        }
        for (const address of await clusterAddresses(cluster, 'nobody')) {
          for (const from of askers)
            await assert.rejects(inPod(cluster, from, 'socat', '/dev/null', tcp(address, 80)), refused)
          // Whoever asks has three seconds in all, which a loaded machine may take to start him.
          await eventually(() => assert.rejects(ask(node('a'), address), refused), 30_000)
        }
      })

      it('a node port answers on every node, from outside, from nodes and from pods', async () => {
        for (const there of nodeNames)
          for (const address of at(places[there])) {
            const seen = async (from: (...argv: string[]) => Promise<string>) =>
              assert.equal((await ask(from, address, ports.any)).pod, 'only-b')
            await eventually(() => seen(outsider))
            for (const from of nodeNames) await seen(node(from))
            for (const from of [...askers, 'only-b'])
              assert.equal(
                (await askFrom(cluster, from, address, ports.any)).pod,
                'only-b',
                `${from} asks ${address}`,
              )
          }
      })

      it('with externalTrafficPolicy Local the pod sees who asks from outside, and other nodes are silent', async () => {
        for (const [family, address] of at(places.c).entries())
          await eventually(async () =>
            assert.deepEqual(await ask(outsider, address, ports.local), {
              pod: 'local-c',
              seen: at('10.77.2.254')[family],
            }),
          )
        for (const address of at(places.a)) await assert.rejects(ask(outsider, address, ports.local))
      })

      it('a host port answers from outside, from other nodes, from its own, and from pods', async () => {
        for (const [family, address] of at(places.a).entries()) {
          const outside = await ask(outsider, address, ports.host)
          assert.deepEqual(outside, { pod: 'host-port', seen: at(cluster.outside)[family] })
          for (const from of nodeNames)
            assert.equal((await ask(node(from), address, ports.host)).pod, 'host-port')
          for (const from of [...askers, 'host-port']) {
            assert.equal((await askFrom(cluster, from, address, ports.host)).pod, 'host-port')
            await eventually(async () =>
              assert.equal((await tellFrom(cluster, from, address, ports.host)).pod, 'host-port'),
            )
          }
        }
      })

      it('names of services lead to them, from every node', async () => {
        const [ipv4 = '', ipv6 = ''] = await clusterAddresses(cluster, 'web')
        for (const from of askers) {
          const name = 'web.default.svc.cluster.local'
          await eventually(async () => assert.deepEqual(await lookUp(cluster, from, name, 'a'), [ipv4]))
          assert.deepEqual(await lookUp(cluster, from, name, 'aaaa'), [ipv6])
          // Short, as people write it: the rest is in the pod's resolv.conf.
          assert.match((await askFrom(cluster, from, 'web', 8000)).pod, /^web/)
          assert.equal((await askFrom(cluster, from, 'only-b.default')).pod, 'only-b')
        }
      })

      it("a headless service's name is all of its pods' addresses", async () => {
        const all = (family: number) => web.map(({ name }) => addresses[name]?.[family]).sort()
        const name = 'bare.default.svc.cluster.local'
        for (const from of askers) {
          assert.deepEqual(await lookUp(cluster, from, name, 'a'), all(0))
          assert.deepEqual(await lookUp(cluster, from, name, 'aaaa'), all(1))
        }
      })

      it("names of the rest of the world come from the server that the cluster's asks", async () => {
        for (const from of askers) {
          assert.deepEqual(await lookUp(cluster, from, 'outside.example', 'a'), ['198.51.100.7'])
          assert.deepEqual(await lookUp(cluster, from, 'outside.example', 'aaaa'), ['2001:db8::7'])
        }
      })

      it("the cluster's DNS answers by TCP, too", async () => {
        const reach = `echo | nc -w 3 ${dnsOf(dual)} 53 && echo reached`
        for (const from of askers) assert.match(await inPod(cluster, from, 'sh', '-c', reach), /reached/)
      })
    })
  }

  it('while every tsnetd is replaced, flows of both families go on, to pods and through a service', async () => {
    const within = { enter: (...argv: string[]) => cluster.enter('web-0', ...argv) }
    const others = [...(addresses['web-1'] ?? []), ...(addresses['web-2'] ?? [])]
    const flows = [
      ...others.map(address => pinging(within, address)),
      ...(await clusterAddresses(cluster, 'web')).map(address => streaming(within, address)),
    ]
    await during(flows, async () => {
      await cluster.kubectl('rollout', 'restart', '-n', 'kube-system', 'daemonset/tsnet')
      await cluster.rolledOut()
    })
  })
})
