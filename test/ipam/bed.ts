import assert from 'node:assert/strict'
import type { Store } from '../../core/faces.ts'
import { Ipam } from '../../ipam/ipam.ts'
import type { Dhcp } from '../../ipam/leased.ts'
import { ipamMethods } from '../../ipam/methods.ts'
import { memoryStore } from '../../store/memory.ts'

/** The IPAM driver as dockerd sees it, with a clock that the test moves. */
export class Bed {
  now = 1_000_000
  routes: string[] = []
  readonly store: Store
  readonly dhcp: Dhcp | undefined
  ipam: Ipam

  constructor(store: Store = memoryStore(), dhcp?: Dhcp) {
    this.store = store
    this.dhcp = dhcp
    this.ipam = this.#start()
  }

  /** tsnetd dies and comes back; dockerd notices nothing. */
  restart(): void {
    this.ipam = this.#start()
  }

  /** dockerd comes back. */
  async register(): Promise<void> {
    assert.deepEqual(await this.call('GetCapabilities'), {
      RequiresMACAddress: this.dhcp !== undefined,
      RequiresRequestReplay: true,
    })
  }

  async call(name: string, request?: unknown): Promise<unknown> {
    const method = ipamMethods(this.ipam)[`IpamDriver.${name}`]
    if (!method) throw new Error(`no method ${name}`)
    return method.run(method.shape ? method.shape.parse(request) : undefined)
  }

  async pool(pool = '', range = '', options: object = {}): Promise<{ PoolID: string; Pool: string }> {
    const request = {
      AddressSpace: 'tsnet-local',
      Pool: pool,
      SubPool: range,
      Options: null,
      V6: false,
      ...options,
    }
    return (await this.call('RequestPool', request)) as { PoolID: string; Pool: string }
  }

  async address(pool: string, address = '', options: object | null = null): Promise<string> {
    const answer = await this.call('RequestAddress', { PoolID: pool, Address: address, Options: options })
    return (answer as { Address: string }).Address
  }

  gateway(pool: string, address = ''): Promise<string> {
    return this.address(pool, address, { RequestAddressType: 'com.docker.network.gateway' })
  }

  release(pool: string, address: string): Promise<unknown> {
    return this.call('ReleaseAddress', { PoolID: pool, Address: address })
  }

  #start(): Ipam {
    return new Ipam({
      store: this.store,
      dhcp: this.dhcp,
      clock: () => this.now,
      routes: async () => this.routes,
      seed: 'a host',
    })
  }
}
