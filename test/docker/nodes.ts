import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { EngineName } from '../bed/engines.ts'
import { type Host, image, startHost } from '../bed/host.ts'
import { type Registry, registryAddress, startRegistry } from '../bed/registry.ts'
import { formSwarm } from '../bed/swarm.ts'
import { eventually, until } from '../bed/until.ts'
import { type Wire, wire } from '../bed/wire.ts'
import { project } from '../plugin/privileges.ts'
import { Container } from './container.ts'
import { pings } from './probes.ts'

/** The plugin, in the words of `docker network create --driver`. */
export const plugin = 'tsnet:latest'
/** The image of all tasks, in a registry that every node reaches. */
export const box = `${registryAddress}/${image}`
/** Milliseconds in which Swarm has noticed that a node is lost and started its tasks elsewhere, on a machine that may stand still. */
export const MOVED = 120_000

export const addressOf = (index: number) => `10.250.0.${index + 1}`
export const keyOf = (fill: number) => Buffer.alloc(32, fill).toString('base64')

/** Nodes of a Swarm, managers all of them, each a Docker host with the plugin; the gossip key comes to them by a Swarm secret. */
export class Nodes {
  readonly hosts: Host[] = []
  #wire: Wire | undefined
  #registry: Registry | undefined

  /** Whatever came up goes with `down`, when this throws as well. */
  async up(engine: EngineName, count: number): Promise<void> {
    const daemonJson = { 'insecure-registries': [registryAddress] }
    for (let index = 0; index < count; index++)
      this.hosts.push(await startHost({ engine, name: `s${index}`, daemonJson }))
    const [first, ...others] = this.hosts as [Host, ...Host[]]
    this.#wire = await wire(first, ...others)
    this.#registry = await startRegistry(this.outside)
    await first.docker('tag', image, box)
    await first.docker('push', box)
    for (const [index, host] of this.hosts.entries()) await plugIn(host, addressOf(index))
    await formSwarm([first, ...others], 'manager', this.#wire)
    await this.secret('tsnet-key', keyOf(9))
    await this.stack('swarm-key', 'tsnet')
  }

  async down(): Promise<void> {
    await this.#registry?.stop()
    await this.#wire?.stop()
    await Promise.all(this.hosts.map(host => host.stop()))
  }

  at(index: number): Host {
    return this.hosts[index] as Host
  }

  get manager(): Host {
    return this.at(0)
  }

  /** A machine beyond the nodes. */
  get outside(): Wire['outside'] {
    return (this.#wire as Wire).outside
  }

  /** Running tasks of a service on all nodes. */
  async tasks(service: string): Promise<Container[]> {
    const filters = { label: [`com.docker.swarm.service.name=${service}`], status: ['running'] }
    const up = this.hosts.filter(host => host.dockerd.running)
    const found = await Promise.all(
      up.map(async host => {
        const listed = await host.api.listContainers({ filters })
        return listed.map(({ Id }) => new Container(host, Id))
      }),
    )
    return found.flat()
  }

  /** As many tasks of a service, all of them serving and on a network; one may be replaced by another while it is looked at. */
  serving(service: string, network: string, count: number): Promise<Container[]> {
    const all = async () => {
      const found = await this.tasks(service)
      if (found.length !== count) return undefined
      for (const each of found) {
        await each.address(network)
        await each.serves()
      }
      return found
    }
    return until(`${count} tasks of ${service} on ${network}`, all, { deadline: MOVED, every: 300 })
  }

  async secret(of: string, text: string): Promise<void> {
    const file = join(this.manager.folder, of)
    await writeFile(file, text)
    await this.manager.docker('secret', 'create', of, file)
  }

  /** A stack of deploy/. */
  async stack(file: string, of: string): Promise<void> {
    const text = await readFile(join(project, `deploy/${file}.yaml`), 'utf8')
    const copy = join(this.manager.folder, `${file}.yaml`)
    await writeFile(copy, text.replaceAll('image: busybox', `image: ${box}`))
    await this.manager.docker('stack', 'deploy', '--compose-file', copy, of)
  }

  network(of: string, subnet: string, ...args: string[]): Promise<string> {
    const words = ['--driver', plugin, '--subnet', subnet, ...args, of]
    return this.manager.docker('network', 'create', ...words)
  }

  service(of: string, ...args: string[]): Promise<string> {
    const words = ['--detach', '--quiet', '--name', of, ...args, box]
    return this.manager.docker('service', 'create', ...words)
  }

  /** A plain container on the network, and the address that it knows a service by. */
  async plainOn(network: string, of: string): Promise<[asks: Container, virtual: string]> {
    const asks = new Container(this.at(1), 'asks')
    await asks.host.docker('run', '--detach', '--name', asks.name, '--network', network, box)
    await asks.serves()
    const { stdout } = await asks.attempt(['nslookup', '-type=a', of, '127.0.0.11'])
    return [asks, new RegExp(`Name:\\s+${of}\\s+Address: (\\S+)`).exec(stdout)?.[1] ?? '']
  }
}

async function plugIn(host: Host, address: string): Promise<void> {
  await host.docker('plugin', 'create', plugin, join(project, 'dist/plugin'))
  await host.docker('plugin', 'set', plugin, 'TSNET_SCOPE=global', `TSNET_BIND=${address}`)
  await host.docker('plugin', 'enable', plugin)
}

/** Every one reaches every one, by address, on one network. */
export async function meet(all: readonly Container[], network: string): Promise<void> {
  for (const from of all)
    for (const to of all) {
      const address = await to.address(network)
      await eventually(async () => assert(await pings(from, address)), MOVED)
    }
}
