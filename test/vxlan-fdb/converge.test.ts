import assert from 'node:assert/strict'
import fc from 'fast-check'
import { endpoint, withdrawn } from './entries.ts'
import { equal, type Node, picture, World } from './world.ts'

const node = fc.nat(5)
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ verb: fc.constant('say' as const), node, count: fc.integer({ min: 1, max: 60 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      verb: fc.constant('unsay' as const),
      node,
      count: fc.integer({ min: 1, max: 40 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      verb: fc.constantFrom('crash' as const, 'restart' as const, 'backup' as const),
      node,
    }),
  },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('restore' as const), node }) },
  { weight: 2, arbitrary: fc.record({ verb: fc.constant('part' as const), mask: fc.nat(63) }) },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('heal' as const) }) },
  {
    weight: 5,
    arbitrary: fc.record({ verb: fc.constant('wait' as const), time: fc.integer({ min: 1, max: 1500 }) }),
  },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

const weather = fc.record({
  loss: fc.constantFrom(0, 0.1, 0.25),
  doubled: fc.constantFrom(0, 0.2),
  jitter: fc.constantFrom(0.3, 20),
})

/** What a machine's backup has: its records and what it made durable. */
type Backup = { says: Map<string, ReturnType<typeof endpoint>>; disk: Node['disk'] }

class Trial {
  readonly world: World
  readonly backups = new Map<Node, Backup>()
  #numbers = 0

  constructor(seed: number, conditions: object) {
    this.world = new World(6, seed, conditions, { tombstoneAge: 3000 })
    for (const node of this.world.nodes) this.world.start(node)
  }

  do(one: Step): void {
    const { world } = this
    if (one.verb === 'wait') world.run(world.now + one.time)
    else if (one.verb === 'part') this.#part(one.mask)
    else if (one.verb === 'heal') this.#part(0)
    else this.#disturb(one, world.nodes[one.node] as Node)
  }

  #disturb(one: Extract<Step, { node: number }>, node: Node): void {
    const { world } = this
    if (one.verb === 'say') this.#say(node, one.node, one.count)
    else if (one.verb === 'unsay') world.say(node, [...node.says.values()].slice(0, one.count).map(withdrawn))
    else if (one.verb === 'backup') this.backups.set(node, structuredCopy(node))
    else if (one.verb !== 'crash')
      this.#restart(node, one.verb === 'restore' ? this.backups.get(node) : undefined)
    else if (node.up) world.crash(node)
  }

  settle(limit: number): number | undefined {
    this.#part(0)
    for (const node of this.world.nodes) if (!node.up) this.world.restart(node)
    this.world.run(this.world.now + 20)
    return this.world.until(() => equal(this.world), limit)
  }

  #say(node: Node, host: number, count: number): void {
    this.world.say(
      node,
      Array.from({ length: count }, () => endpoint(host, this.#numbers++ % 200)),
    )
  }

  #part(mask: number): void {
    for (const [at, node] of this.world.nodes.entries()) node.part = (mask >> at) & 1
  }

  #restart(node: Node, backup?: Backup): void {
    if (node.up) this.world.crash(node)
    if (backup) {
      node.disk.epoch = backup.disk.epoch
      node.says.clear()
      for (const [key, entry] of backup.says) node.says.set(key, entry)
    }
    this.world.restart(node)
  }
}

const structuredCopy = (node: Node): Backup => ({ says: new Map(node.says), disk: { ...node.disk } })

/** What all machines together want to be said. */
function wanted(world: World): string[] {
  return world.nodes
    .flatMap(({ id, says }) =>
      [...says.values()].map(
        ({ network, kind, key, value }) => `${id} ${network} ${kind} ${key} ${value?.toString('hex')}`,
      ),
    )
    .sort()
}

describe('tables', () => {
  it('are equal in the end and say what their origins say, whatever happened', () =>
    fc.assert(
      fc.property(fc.nat(), weather, fc.array(step, { maxLength: 30 }), (seed, conditions, steps) => {
        const trial = new Trial(seed, conditions)
        for (const one of steps) trial.do(one)
        const time = trial.settle(20_000)
        assert.notEqual(time, undefined, 'equal within 20 s')
        for (const { table } of trial.world.nodes)
          assert.deepEqual(picture(table).split('\n').filter(Boolean), wanted(trial.world))
      }),
      { numRuns: Number(process.env.FDB_RUNS ?? 60) },
    )).timeout(120_000)

  it('are equal within 3 s of the last change with a tenth of all datagrams lost', () => {
    const times = [1, 2, 3, 4, 5].map(seed => {
      const world = new World(20, seed, { loss: 0.1, doubled: 0.05 })
      for (const node of world.nodes) world.start(node)
      world.run(6000)
      for (const [host, node] of world.nodes.entries())
        world.say(node, [endpoint(host, 1), endpoint(host, 2)])
      world.run(world.now + 1)
      return world.until(() => equal(world), 10_000) ?? Number.POSITIVE_INFINITY
    })
    assert.ok(Math.max(...times) <= 3000, `${times}`)
  }).timeout(60_000)

  it('are equal within 5 s of a healed partition', () => {
    const world = new World(20, 7, { loss: 0.02 })
    for (const node of world.nodes) world.start(node)
    world.run(3000)
    for (const [at, node] of world.nodes.entries()) node.part = at % 2
    for (const [host, node] of world.nodes.entries())
      world.say(
        node,
        Array.from({ length: 30 }, (_, at) => endpoint(host, at)),
      )
    world.run(13_000)
    assert.ok(!equal(world), 'the halves differ')
    for (const node of world.nodes) node.part = 0
    const time = world.until(() => equal(world), 10_000) ?? Number.POSITIVE_INFINITY
    assert.ok(time <= 5000, `${time} ms`)
  }).timeout(60_000)

  it('are equal at one that has lost its memory, whatever was taken back before and how long ago', () => {
    const times = Array.from({ length: 20 }, (_, seed) => {
      const world = new World(3, seed, {}, { tombstoneAge: 3000 })
      for (const node of world.nodes) world.start(node)
      world.run(3000)
      const [a, , c] = world.nodes as [Node, Node, Node]
      const dice = () => Math.floor(world.random() * 30)
      for (let round = 0; round < 8; round++) {
        world.say(
          a,
          [0, 1, 2, 3].map(() => endpoint(1, dice())),
        )
        world.run(world.now + 100)
        world.say(a, [...a.says.values()].filter(() => world.random() < 0.4).map(withdrawn))
        world.run(world.now + 3000)
      }
      world.run(world.now + 10_000)
      world.crash(c)
      world.run(world.now + 10_000)
      world.restart(c)
      return world.until(() => equal(world), 10_000) ?? Number.POSITIVE_INFINITY
    })
    assert.ok(Math.max(...times) < 3000, `${times}`)
  }).timeout(60_000)

  it('keep every record while nobody hears anybody for ten minutes, and take up what was said meanwhile', () => {
    const world = new World(6, 3, { loss: 0.02 })
    for (const node of world.nodes) world.start(node)
    for (const [host, node] of world.nodes.entries()) world.say(node, [endpoint(host, 1), endpoint(host, 2)])
    world.run(5000)
    const before = world.nodes.map(({ table }) => picture(table))
    const everybody = (alive: boolean) => {
      for (const [at, node] of world.nodes.entries()) {
        node.part = alive ? 0 : at
        for (const { id } of world.nodes) if (id !== node.id) world.post(node, { type: 'member', id, alive })
      }
    }
    everybody(false)
    world.run(world.now + 300_000)
    assert.deepEqual(
      world.nodes.map(({ table }) => picture(table)),
      before,
    )
    for (const [host, node] of world.nodes.entries())
      world.say(node, [endpoint(host, 3), withdrawn(endpoint(host, 1))])
    world.run(world.now + 300_000)
    everybody(true)
    const time = world.until(() => equal(world), 10_000) ?? Number.POSITIVE_INFINITY
    assert.ok(time <= 5000, `${time} ms`)
    const [first = ''] = world.nodes.map(({ table }) => picture(table))
    assert.equal(first.split('\n').length, 12)
  }).timeout(60_000)
})
