// Containers of nodes: throughput, straight and by the tunnel, against the bare link and a bare VXLAN, and against containers wired by
// hand that the kernel forwards for without a rule, in turns; 1 stream of TCP. What ADD takes, how soon after its answer another node's container reaches the new one, and what nodes hold of it.
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import {
  addNamespace,
  deleteNamespace,
  inNamespace,
  netnsPath,
  onExit,
  ownName,
} from '../test/bed/namespace.ts'
import { until } from '../test/bed/until.ts'
import { type Node, shim } from '../test/cni/node.ts'
import { type Name, places, Routed } from '../test/cni/routed.ts'
import { Plugin } from '../test/cni/runtime.ts'
import { rounds } from './rounds.ts'
import { against, count, median, print } from './table.ts'

const ROUNDS = count('BENCH_ROUNDS', 5, 1)
const STARTS = count('BENCH_STARTS', 30, 5)
const config = { cniVersion: '1.0.0', name: 'pods', type: 'tsnet-cni' }
const SECONDS = count('BENCH_SECONDS', 2, 1)

/** A node on the first link that forwards for one container: a veth and two routes. Returns the container's namespace. */
async function byHand(bed: Routed, number: 1 | 2): Promise<string> {
  const [node, container] = [ownName(`hand${number}`), ownName(`hand${number}-c`)]
  const [here, there] = [number, 3 - number]
  await addNamespace(node)
  await addNamespace(container)
  await bed.plug(node, `hand${number}`, `10.77.1.1${here}`)
  const on = (namespace: string, ...words: string[]) => inNamespace(namespace, 'ip', ...words)
  await on(node, 'link', 'add', 'name', 'c', 'up', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', container)
  await on(node, 'address', 'add', `10.79.${here}.1/24`, 'dev', 'c')
  await on(node, 'route', 'add', `10.79.${there}.0/24`, 'via', `10.77.1.1${there}`)
  await on(container, 'address', 'add', `10.79.${here}.2/24`, 'dev', 'eth0')
  await on(container, 'link', 'set', 'eth0', 'up')
  await on(container, 'route', 'add', 'default', 'via', `10.79.${here}.1`)
  handmade.push(node, container)
  return container
}
const handmade: string[] = []

/** A VXLAN as anybody would make it by hand, beside tsnet's. */
async function bare(node: Node, name: Name, other: Name): Promise<void> {
  const vxlan = [
    'type',
    'vxlan',
    'id',
    '77',
    'dstport',
    '4790',
    'local',
    places[name],
    'remote',
    places[other],
  ]
  await node.run('ip', 'link', 'add', 'bare0', 'mtu', '1450', ...vxlan)
  await node.run('ip', 'address', 'add', `10.78.0.${name.charCodeAt(0)}/24`, 'dev', 'bare0')
  await node.run('ip', 'link', 'set', 'bare0', 'up')
}

const servers: ChildProcess[] = []
async function serve(namespace: string): Promise<void> {
  servers.push(spawn('nsenter', [`--net=${netnsPath(namespace)}`, 'iperf3', '-s'], { stdio: 'ignore' }))
  await until('iperf3 to listen', async () => (await inNamespace(namespace, 'ss', '-ltn')).includes(':5201'))
}

/** Gbit/s. */
const sent = (namespace: string, to: string) => async (): Promise<Record<string, number>> => {
  const text = await inNamespace(namespace, 'iperf3', '-c', to, '-t', String(SECONDS), '-J')
  return { throughput: JSON.parse(text).end.sum_received.bits_per_second / 1e9 }
}

async function main(): Promise<void> {
  onExit(() => {
    for (const each of servers) each.kill()
  })
  const bed = await Routed.bare()
  try {
    await bed.start()
    await measure(bed)
  } finally {
    for (const each of servers) each.kill()
    await bed.dispose()
    for (const name of handmade) await deleteNamespace(name)
  }
}

/** Milliseconds of ADD, and from its answer to that of the new container to one elsewhere. */
async function starts({ nodes: { a, c } }: Routed, from: string): Promise<void> {
  const asker = spawn('nsenter', [
    `--net=${netnsPath(from)}`,
    process.execPath,
    join(import.meta.dirname, 'asker.ts'),
  ])
  const answers = createInterface({ input: asker.stdout })[Symbol.asyncIterator]()
  servers.push(asker)
  const rows = async () => (await a.run('sh', '-c', 'ip route; ip neigh; bridge fdb')).split('\n').length
  const before = await rows()
  const [adds, waits]: [number[], number[]] = [[], []]
  for (let i = 0; i < STARTS; i++) {
    const { json, ms } = await new Plugin(shim, config, c.namespace, c.env).add(await c.sandbox())
    asker.stdin.write(`${json.ips[0]?.address.split('/')[0]}\n`)
    waits.push(Number((await answers.next()).value))
    adds.push(ms)
  }
  print(`${STARTS} containers start on another node, by the tunnel, ms`, [
    ['', 'p50', 'most'],
    ['ADD', median(adds), Math.max(...adds)],
    ['from its answer to that of the container', median(waits), Math.max(...waits)],
  ])
  console.log(
    `lines more in the tables of a node for ${STARTS} containers elsewhere: ${(await rows()) - before}`,
  )
}

async function measure(bed: Routed): Promise<void> {
  const { a, b, c } = bed.nodes
  const pod = async (node: Node) => {
    const sandbox = await node.sandbox()
    const { json } = await new Plugin(shim, config, node.namespace, node.env).add(sandbox)
    return { name: sandbox.name, address: json.ips[0]?.address.split('/')[0] as string }
  }
  const [pa, pb, pc] = [await pod(a), await pod(b), await pod(c)]
  await bare(a, 'a', 'c')
  await bare(c, 'c', 'a')
  for (const to of [pb, pc])
    await until(
      'pods to meet',
      async () => (await inNamespace(pa.name, 'busybox', 'ping', '-c', '1', '-W', '1', to.address)) !== '',
    )
  await starts(bed, pa.name)
  const [handClient, handServer] = [await byHand(bed, 1), await byHand(bed, 2)]
  for (const each of [b.namespace, c.namespace, pb.name, pc.name, handServer]) await serve(each)
  const seen = await rounds(
    {
      link: sent(a.namespace, places.b),
      hand: sent(handClient, '10.79.2.2'),
      straight: sent(pa.name, pb.address),
      vxlan: sent(a.namespace, '10.78.0.99'),
      tunnel: sent(pa.name, pc.address),
    },
    ROUNDS,
  )
  const of = (what: string) => seen[what]?.throughput ?? Number.NaN
  print('containers of two nodes, Gbit/s', [
    ['', 'bare', 'containers', 'ratio', 'wired by hand', 'ratio'],
    [
      'straight, by a link',
      of('link'),
      of('straight'),
      against(of('straight') / of('link'), 0.97, 'higher'),
      of('hand'),
      of('straight') / of('hand'),
    ],
    ['by VXLAN', of('vxlan'), of('tunnel'), against(of('tunnel') / of('vxlan'), 0.97, 'higher'), '', ''],
  ])
}

await main()
