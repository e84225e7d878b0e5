import assert from 'node:assert/strict'
import { docker } from '../../bin/mirror/docker.ts'
import { Mirror } from '../../bin/mirror/index.ts'
import type { Network } from '../../core/records.ts'
import { vniOf } from '../../modes/overlay.ts'
import { memoryStore } from '../../store/memory.ts'
import type { Entry } from '../../vxlan-fdb/index.ts'
import { until } from '../bed/until.ts'
import { FakeDocker } from './engine.ts'

const shop = {
  Name: 'shop',
  Driver: 'tsnet',
  Attachable: true,
  IPAM: {
    Driver: 'tsnet',
    Options: {},
    Config: [{ Subnet: '10.90.0.0/16', IPRange: '10.90.8.0/24', Gateway: '10.90.0.9' }],
  },
  Options: { mode: 'overlay', multicast: 'true' },
  Labels: { team: 'till' },
}

type Member = {
  name: string
  engine: FakeDocker
  mirror: Mirror
  warnings: string[]
  told: Map<string, Entry>
}

/** Hosts whose records reach each other at once. */
class Lab {
  readonly members: Member[] = []

  async host(name: string, store = memoryStore()): Promise<Member> {
    let mirror: Mirror | undefined
    const telling = {
      ...store,
      records: store.records,
      write: async (changes: Parameters<typeof store.write>[0]) => {
        await store.write(changes)
        mirror?.tell(changes)
      },
    }
    const engine = await FakeDocker.open(name, telling)
    const member = this.#join(name, engine)
    mirror = member.mirror
    return member
  }

  /** The daemon begins anew. */
  restart(member: Member): Member {
    member.mirror.close()
    this.members.splice(this.members.indexOf(member), 1)
    return this.#join(member.name, member.engine)
  }

  #join(name: string, engine: FakeDocker): Member {
    const warnings: string[] = []
    const told = new Map<string, Entry>()
    const log = {
      debug() {},
      info() {},
      warn: (_: object, words: string) => warnings.push(words),
      error() {},
    }
    const mirror = new Mirror({
      docker: docker(engine.socket),
      store: engine.store,
      spans: mode => mode === 'overlay',
      vniOf,
      say: entries => {
        for (const entry of entries) told.set(entry.key, entry)
        for (const other of this.members) if (other.name !== name) other.mirror.hear(from(name, entries))
      },
      log: log as never,
      now: () => performance.now(),
    })
    engine.admit = network => mirror.admit(network)
    for (const entry of mirror.entries()) told.set(entry.key, entry)
    for (const other of this.members) {
      mirror.hear(from(other.name, [...other.told.values()]))
      other.mirror.hear(from(name, mirror.entries()))
    }
    const member = { name, engine, mirror, warnings, told }
    this.members.push(member)
    mirror.complete()
    mirror.start()
    return member
  }

  async everywhere(...names: string[]): Promise<void> {
    await until(`${names.join() || 'nothing'} everywhere`, () => {
      for (const { engine } of this.members) assert.deepEqual(engine.names(), names)
      return true
    })
  }

  async close(): Promise<void> {
    for (const { mirror, engine } of this.members) {
      mirror.close()
      await engine.close()
    }
  }
}

const from = (origin: string, entries: Entry[]) => entries.map(entry => ({ ...entry, origin }))

const recordsOf = ({ engine }: Member): Network[] => [...engine.store.records.networks.values()]

describe('mirror', () => {
  let lab: Lab
  beforeEach(() => {
    lab = new Lab()
  })
  afterEach(() => lab.close())

  it('makes on all hosts what is made on one, as it is, and known by one key', async () => {
    const [a, b] = [await lab.host('a'), await lab.host('b')]
    const id = await a.engine.create(shop)
    await lab.everywhere('shop')
    const { Id: _, Scope: __, ...there } = b.engine.network('shop') ?? assert.fail()
    const asked = { ...shop, CheckDuplicate: true, Internal: false, EnableIPv6: false }
    assert.deepEqual(there, asked)
    assert.deepEqual(
      recordsOf(b).map(each => each.shared),
      [id],
    )
    assert.deepEqual(recordsOf(a).map(vniOf), recordsOf(b).map(vniOf))
  })

  it('makes it on a host that comes later, and removes it from all when it is removed on any', async () => {
    const a = await lab.host('a')
    await a.engine.create(shop)
    await until('told', () => a.told.size === 1)
    const [b, c] = [await lab.host('b'), await lab.host('c')]
    await lab.everywhere('shop')
    await c.engine.remove('shop')
    await lab.everywhere()
    await until('nobody says anything', () =>
      [a, b, c].every(({ told }) => [...told.values()].every(each => !each.value)),
    )
  })

  it('removes one that is used once its last container has gone', async () => {
    const [a, b] = [await lab.host('a'), await lab.host('b')]
    await a.engine.create(shop)
    await lab.everywhere('shop')
    const [{ id: network } = assert.fail()] = recordsOf(b)
    const endpoint = {
      id: 'e',
      network,
      mac: '02:00:00:00:00:01',
      options: {},
      ports: [],
      published: [],
      created: 0,
    }
    await b.engine.store.write([{ table: 'endpoint', id: 'e', value: endpoint }])
    await a.engine.remove('shop')
    await until('reported', () => b.warnings.some(each => /containers still use it here/.test(each)))
    assert.deepEqual(b.engine.names(), ['shop'])
    await b.engine.store.write([{ table: 'endpoint', id: 'e' }])
    await lab.everywhere()
    assert.equal(b.warnings.length, 1)
  })

  it('tries again what Docker refuses, and tells it once', async () => {
    const [a, b] = [await lab.host('a'), await lab.host('b')]
    await a.engine.create(shop)
    await lab.everywhere('shop')
    b.engine.used.add('shop')
    await a.engine.remove('shop')
    const refusals = () => b.engine.requests.filter(each => each.startsWith('DELETE')).length
    await until('refused three times', () => refusals() >= 3)
    assert.equal(b.warnings.length, 1)
    assert.match(
      b.warnings[0] ?? '',
      /^network shop, which was removed .*, can't be removed here, .* has active endpoints/,
    )
    b.engine.used.delete('shop')
    await lab.everywhere()
  })

  it('waits for a Docker that is away', async () => {
    const [a, b] = [await lab.host('a'), await lab.host('b')]
    await b.engine.silence()
    await a.engine.create(shop)
    await until('told', () => a.told.size === 1)
    await b.engine.listen()
    await lab.everywhere('shop')
  })

  it('remembers through a restart what was there and what was removed', async () => {
    const [a, b] = [await lab.host('a'), await lab.host('b')]
    await a.engine.create(shop)
    await lab.everywhere('shop')
    const again = lab.restart(b)
    assert.equal(again.mirror.entries().length, 1)
    again.mirror.close()
    await again.engine.remove('shop')
    lab.restart(again)
    await lab.everywhere()
  })

  it('leaves alone what is made by hand and what is not for many hosts', async () => {
    const [a, b] = [await lab.host('a'), await lab.host('b')]
    await a.engine.create({ ...shop, Name: 'hand', Options: { mode: 'overlay', name: 'hand' } as never })
    const IPAM = { ...shop.IPAM, Config: [{ Subnet: '10.91.0.0/16' }] }
    await a.engine.create({ ...shop, Name: 'bridged', IPAM, Options: { mode: 'bridge' } as never })
    await a.engine.create({ ...shop, IPAM: { ...IPAM, Config: [{ Subnet: '10.92.0.0/16' }] } })
    await until('shop', () => b.engine.names().length > 0)
    assert.deepEqual(b.engine.names(), ['shop'])
  })

  it('lets a host without the API join by hand, with the id of the network where it was made', async () => {
    const [a, b] = [await lab.host('a'), await lab.host('b')]
    await b.engine.silence()
    const id = await a.engine.create(shop)
    await until('a told of it', () => a.told.size === 1)
    await b.engine.create({ ...shop, Options: { mode: 'overlay', name: id } as never })
  })

  it('refuses at create what is in the way of one that is known, but not of one that was just removed', async () => {
    const [a, b] = [await lab.host('a'), await lab.host('b')]
    await a.engine.create(shop)
    await until('a told of it', () => a.told.size === 1)
    await assert.rejects(
      b.engine.create({ ...shop, Name: 'mail' }),
      /^Refused: the network has the subnet|has the subnet/,
    )
    await lab.everywhere('shop')
    await b.engine.remove('shop')
    const id = await b.engine.create({ ...shop, Labels: { anew: 'yes' } })
    await until('the new one', () => a.engine.network('shop')?.Labels.anew === 'yes')
    assert.equal(recordsOf(a)[0]?.shared, id)
  })
})
