import assert from 'node:assert/strict'
import { createHash, randomInt } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { image } from '../bed/host.ts'
import { records } from '../bed/records.ts'
import { eventually } from '../bed/until.ts'
import { type Bed, driver, onDocker, pings } from './support.ts'

/** `TSNET_SEED` repeats a storm's choices; `TSNET_KILLS=100` is a long one. */
const seed = Number(process.env.TSNET_SEED ?? randomInt(2 ** 32))
const KILLS = Number(process.env.TSNET_KILLS ?? 15)
/** Milliseconds that tsnetd lives, at most. */
const LIFE = 1000
const WORKERS = 4
const NETWORKS = ['red', 'green', 'blue']
/** Milliseconds in which tsnetd has asked Docker for its list and dropped what isn't in it. */
const COLLECTED = 90_000

if (driver === 'tsnet')
  onDocker(
    'a storm of requests',
    bed => {
      describe(`with tsnetd killed ${KILLS} times (TSNET_SEED=${seed})`, function () {
        this.timeout(1_800_000)

        bed.it('leaves Docker and tsnet agreed, and nothing behind', async () => {
          for (const [index, name] of NETWORKS.entries()) await bed.network(name, networkOptions(index))
          const storm = new Storm(bed)
          const workers = Array.from({ length: WORKERS }, (_, number) => storm.work(number))
          try {
            await kills(bed, storm)
          } finally {
            storm.over = true
          }
          await Promise.all(workers)
          await eventually(() => agreed(bed), COLLECTED)
          await allAnswer(bed)
          await bed.clear()
          await eventually(() => bed.unchanged(), COLLECTED)
        })
      })
    },
    { activated: true },
  )

const networkOptions = (index: number) => ({ subnets: [`10.${77 + index}.0.0/24`], ipam: 'tsnet' })

/** Kills at moments of chance; one in five while tsnetd starts. */
async function kills(bed: Bed, storm: Storm): Promise<void> {
  const random = randomness(seed)
  for (let count = 0; count < KILLS; count++) {
    if (random() < 0.8) await bed.host.tsnetd.serves()
    await pause(random() * LIFE)
    await bed.host.crash()
  }
  await bed.host.tsnetd.serves()
  assert(storm.done.size === STEPS.length, `of every kind of step one succeeded: ${[...storm.done]}`)
}

const STEPS = ['create', 'connect', 'disconnect', 'remove', 'network', 'network away'] as const
type Step = (typeof STEPS)[number]

/** Users who do this and that, each with containers of his own, and go on when something fails. */
class Storm {
  over = false
  /** Kinds of steps that succeeded at least once. */
  readonly done = new Set<Step>()
  readonly #bed: Bed

  constructor(bed: Bed) {
    this.#bed = bed
  }

  async work(number: number): Promise<void> {
    const random = randomness(seed + 1 + number)
    const pick = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)] as T
    while (!this.over) {
      const name = `box${number}-${Math.floor(random() * 2)}`
      const [first, second] = [pick(NETWORKS), pick(NETWORKS)]
      await this.#container(name, first, second, random() < 0.5)
      if (random() < 0.3) await this.#network(number)
    }
  }

  /** The life of a container; with half a chance it is left for the next who takes this name. */
  async #container(name: string, first: string, second: string, whole: boolean): Promise<void> {
    const { api } = this.#bed.host
    const container = api.getContainer(name)
    await container.remove({ force: true }).catch(() => undefined)
    await this.#step('create', async () => {
      await api.createContainer(creation(name, first))
      await container.start()
    })
    await this.#step('connect', () => api.getNetwork(second).connect({ Container: name }))
    await this.#step('disconnect', () => api.getNetwork(second).disconnect({ Container: name }))
    if (whole) await this.#step('remove', () => container.remove({ force: true }))
  }

  async #network(number: number): Promise<void> {
    const { api } = this.#bed.host
    const name = `own${number}`
    await this.#step('network', () =>
      api.createNetwork({ Name: name, Driver: driver, IPAM: { Driver: 'tsnet', Config: [] } }),
    )
    await this.#step('network away', () => api.getNetwork(name).remove())
  }

  async #step(kind: Step, step: () => Promise<unknown>): Promise<void> {
    if (this.over) return
    await step().then(
      () => this.done.add(kind),
      () => undefined,
    )
  }
}

const creation = (name: string, network: string) => ({
  name,
  Hostname: name,
  Image: image,
  Cmd: ['httpd', '-f', '-h', '/www'],
  ExposedPorts: { '80/tcp': {} },
  HostConfig: { NetworkMode: network, PortBindings: { '80/tcp': [{ HostPort: '' }] } },
})

/** What Docker lists is what tsnet has recorded, and what the kernel has, to the letter. */
async function agreed(bed: Bed): Promise<void> {
  const docker = await dockersList(bed)
  assert.deepEqual(tsnetsList(bed), docker)
  const links = await bed.host.exec('ip', '-br', 'link')
  const [bridges, ports] = [/^tsb-\w+/gm, /^tsv-\w+/gm].map(pattern => links.match(pattern)?.sort() ?? [])
  const short = (ids: string[] = [], prefix: string) => ids.map(id => `${prefix}${id.slice(0, 11)}`)
  assert.deepEqual(bridges, short(docker.network, 'tsb-'))
  assert.deepEqual(ports, short(docker.endpoint, 'tsv-'))
}

/** Leases without the gateways', which Docker doesn't list where it chose them itself: one for each network. */
type Lists = { network: string[]; endpoint: string[]; lease: string[]; gateways: number }

const isGateway = (address: string) => address.endsWith('.1')

async function dockersList(bed: Bed): Promise<Lists> {
  const { api } = bed.host
  const found = await api.listNetworks({ filters: { driver: ['tsnet'] } })
  const networks = await Promise.all(found.map(each => api.getNetwork(each.Id).inspect()))
  const endpoints = networks.flatMap(each => Object.values(each.Containers ?? {}))
  return {
    network: networks.map(each => each.Id).sort(),
    endpoint: endpoints.map(each => each.EndpointID).sort(),
    lease: endpoints.map(each => each.IPv4Address.split('/')[0] ?? '').sort(),
    gateways: networks.length,
  }
}

function tsnetsList(bed: Bed): Lists {
  const lines = records(bed.host)
  const ids = (kind: string) =>
    lines.filter(line => line.startsWith(`${kind} `)).map(line => line.slice(kind.length + 1))
  const lease = ids('lease').map(id => id.split('/').at(-1) ?? '')
  return {
    network: ids('network'),
    endpoint: ids('endpoint'),
    lease: lease.filter(address => !isGateway(address)).sort(),
    gateways: lease.filter(isGateway).length,
  }
}

/** Whatever Docker takes for connected is reached. */
async function allAnswer(bed: Bed): Promise<void> {
  const { api } = bed.host
  for (const name of NETWORKS) {
    const { Containers } = await api.getNetwork(name).inspect()
    for (const { Name, IPv4Address } of Object.values(Containers ?? {}))
      assert(await pings(bed.host, IPv4Address.split('/')[0] ?? ''), `${Name} answers on ${name}`)
  }
}

/** Numbers from 0 to 1, the same for the same seed. */
function randomness(start: number): () => number {
  let drawn = 0
  return () => createHash('sha256').update(`${start} ${drawn++}`).digest().readUInt32LE() / 2 ** 32
}
