import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Door } from '../../cni/door.ts'
import { cniMethods } from '../../cni/methods.ts'
import { ConfiguredNetworks } from '../../cni/networks.ts'
import { driverMethods } from '../../driver/methods.ts'
import { Ipam } from '../../ipam/ipam.ts'
import { ipamMethods } from '../../ipam/methods.ts'
import { type Bed, bed, bytes, raw, statuses } from '../driver/client.ts'
import { World } from '../support/world.ts'
import { below, exchanged, mutated, oneOf, type Random } from './mutate.ts'
import type { Target } from './target.ts'

type Request = { name: string; body: Record<string, unknown> }

const traces = join(import.meta.dirname, '../traces')
const lines = readdirSync(traces).flatMap(file => readFileSync(join(traces, file), 'utf8').trim().split('\n'))

/** What dockerd was seen to ask; each method about as often as the others. */
const asked: readonly Request[] = lines.flatMap(line => {
  const { path, body } = JSON.parse(line) as { path?: string; body?: Record<string, unknown> | null }
  return path ? [{ name: path.slice(1), body: body ?? {} }] : []
})
const byName = [...Map.groupBy(asked, ({ name }) => name)].map(([, all]) => all)

const conf = {
  cniVersion: '1.1.0',
  name: 'pods',
  type: 'tsnet-cni',
  isolation: true,
  ipam: { type: 'tsnet', ranges: [{ subnet: '10.93.0.0/24' }], routes: [{ dst: '0.0.0.0/0' }] },
  dns: { nameservers: ['10.93.0.1'] },
  runtimeConfig: { portMappings: [{ hostPort: 0, containerPort: 80, protocol: 'tcp' }] },
  args: { cni: { ips: [] } },
  'cni.dev/valid-attachments': [{ containerID: 'c1', ifname: 'eth0' }],
}
const environments = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'].map(verb => ({
  CNI_COMMAND: verb,
  CNI_CONTAINERID: 'c1',
  CNI_IFNAME: 'eth0',
  CNI_NETNS: '/var/run/netns/c1',
  CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_UID=1',
}))

/** The daemon's sockets: Docker's network driver, its address driver, and CNI's door, on a kernel in memory. */
export class Doors implements Target {
  name = 'HTTP: driver, ipam, cni'
  #bed: Bed | undefined

  async feed(random: Random): Promise<void> {
    const served = this.#bed as Bed
    const { name, body } = random() < 0.3 ? this.#cni(random) : this.#docker(random)
    const text = Buffer.from(JSON.stringify(body))
    if (random() < 0.05) await this.#garble(served, name, text, random)
    else await served.call(name, random() < 0.2 ? mutated([text], random) : text)
    const failure = served.log.find(line => line.level >= 50)
    served.log.length = 0
    if (failure) throw new Error(`${failure.path} failed: ${failure.err?.message ?? failure.msg}\n${text}`)
  }

  async renew(): Promise<void> {
    await this.close()
    const { engine, settler, store } = new World()
    await settler.settle('everything')
    const ipam = new Ipam({
      store,
      clock: Date.now,
      routes: async () => [],
      seed: '',
      portion: () => undefined,
    })
    const networks = new ConfiguredNetworks(engine, ipam, false)
    const log = { debug() {}, info() {}, warn() {}, error() {} }
    const door = new Door({ engine, book: ipam, networks, inodeOf: () => 1, log })
    this.#bed = await bed({
      methods: {
        ...driverMethods(engine, { scope: 'local' }),
        ...ipamMethods(ipam),
        ...cniMethods(door, async () => {}),
      },
      deadline: 20_000,
    })
  }

  async close(): Promise<void> {
    await this.#bed?.stop()
    this.#bed = undefined
  }

  #docker(random: Random): Request {
    const { name, body } = oneOf(random, oneOf(random, byName))
    return { name, body: exchanged([body], random) }
  }

  #cni(random: Random): Request {
    const env = exchanged(environments, random)
    const stdin = JSON.stringify(exchanged([conf], random))
    const text = random() < 0.2 ? mutated([Buffer.from(stdin)], random).toString() : stdin
    return {
      name: 'Cni',
      body: random() < 0.9 ? { env, stdin: text } : exchanged([{ env, stdin: text }], random),
    }
  }

  /** Bytes that are no HTTP any more: a status of 4xx, or a closed connection. */
  async #garble(served: Bed, name: string, text: Buffer, random: Random): Promise<void> {
    const request = mutated([bytes(name, text)], random)
    const heard = await raw(served.path, [request.subarray(0, below(random, request.length + 1))], {
      end: true,
    })
    const odd = statuses(heard).find(status => status !== 200 && (status < 400 || status > 499))
    if (odd) throw new Error(`${odd} to what is no HTTP: ${request.toString('latin1').slice(0, 300)}`)
  }
}
