import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Refused } from '../../core/errors.ts'
import type { Store } from '../../core/faces.ts'
import type { Network } from '../../core/records.ts'

type Pool = {
  Subnet: string
  Gateway?: string
  IPRange?: string
  AuxiliaryAddresses?: Record<string, string>
}
type Request = {
  Name: string
  Driver: string
  Internal?: boolean
  Attachable?: boolean
  EnableIPv6?: boolean
  IPAM: { Driver: string; Options?: Record<string, string> | null; Config: Pool[] }
  Options: Record<string, string>
  Labels: Record<string, string>
}
type Listed = Request & { Id: string; Scope: string }

/**
 * Passes for dockerd on its socket: the three calls of its API that are about networks, with the statuses and error bodies of 28.5, and
 * the driver's part in them as records.
 */
export class FakeDocker {
  readonly socket: string
  readonly store: Store
  admit: (network: Network) => Network = network => network
  readonly requests: string[] = []
  /** Names of networks that containers use. */
  readonly used = new Set<string>()
  readonly #name: string
  readonly #server = createServer((request, response) => void this.#answer(request, response))
  readonly #networks = new Map<string, Listed>()
  #count = 0

  private constructor(name: string, folder: string, store: Store) {
    this.#name = name
    this.socket = join(folder, 'docker.sock')
    this.store = store
    this.#networks.set('none', { ...plain, Id: `none of ${name}`, Name: 'none', Driver: 'null' })
  }

  static async open(name: string, store: Store): Promise<FakeDocker> {
    const docker = new FakeDocker(name, await mkdtemp(join(tmpdir(), 'ts-test-')), store)
    await docker.listen()
    return docker
  }

  async listen(): Promise<void> {
    this.#server.listen(this.socket)
    await once(this.#server, 'listening')
  }

  async silence(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async close(): Promise<void> {
    if (this.#server.listening) await this.silence()
    await rm(join(this.socket, '..'), { recursive: true })
  }

  names(): string[] {
    return [...this.#networks.keys()].filter(name => name !== 'none').sort()
  }

  network(name: string): Listed | undefined {
    return this.#networks.get(name)
  }

  /** As `POST /networks/create`; answers the id. Throws what the driver throws. */
  async create(request: Request): Promise<string> {
    if (this.#networks.has(request.Name))
      throw new Conflict(`network with name ${request.Name} already exists`)
    const id = `${this.#name}${++this.#count}`.padEnd(64, '0')
    const { Config } = request.IPAM
    const value: Network = {
      id,
      mode: request.Options.mode ?? 'bridge',
      options: request.Options.name ? { name: request.Options.name } : {},
      internal: request.Internal ?? false,
      ipv4: Config.map(pool => ({
        pool: pool.Subnet,
        gateway: `${pool.Gateway ?? gatewayOf(pool)}/16`,
        aux: {},
      })),
      ipv6: [],
      created: Date.now(),
    }
    const { name } = request.Options
    const shared = name === undefined ? value : { ...value, shared: name }
    await this.store.write([{ table: 'network', id, value: this.admit(shared) }])
    this.#networks.set(request.Name, { ...plain, ...request, Id: id })
    return id
  }

  async remove(name: string): Promise<void> {
    const id = this.#networks.get(name)?.Id ?? ''
    if (this.used.has(name)) throw new Forbidden(`network ${name} has active endpoints`)
    await this.store.write([{ table: 'network', id }])
    this.#networks.delete(name)
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method, url = '' } = request
    this.requests.push(`${method} ${url}`)
    try {
      const body = (await request.toArray()).join('')
      const [status, answer] = await this.#do(`${method}`, url, body)
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(answer && JSON.stringify(answer))
    } catch (error) {
      const status =
        error instanceof Conflict
          ? 409
          : error instanceof Forbidden
            ? 403
            : error instanceof Refused
              ? 400
              : 500
      response
        .writeHead(status, { 'Content-Type': 'application/json' })
        .end(JSON.stringify({ message: (error as Error).message }))
    }
  }

  async #do(method: string, url: string, body: string): Promise<[number, unknown?]> {
    if (method === 'GET' && url.startsWith('/networks')) return [200, [...this.#networks.values()]]
    if (method === 'POST' && url.startsWith('/networks/create'))
      return [201, { Id: await this.create(JSON.parse(body)), Warning: '' }]
    const found = [...this.#networks.values()].find(({ Id }) => url === `/networks/${Id}`)
    if (method !== 'DELETE' || !found) return [404, { message: `${method} ${url} not found` }]
    await this.remove(found.Name)
    return [204]
  }
}

class Conflict extends Error {}
class Forbidden extends Error {}

const gatewayOf = ({ Subnet }: Pool) => Subnet.replace(/0\/16$/, '1')

const plain = {
  Scope: 'local',
  Internal: false,
  Attachable: false,
  EnableIPv6: false,
  IPAM: { Driver: 'null', Options: null, Config: [] },
  Options: {},
  Labels: {},
}
