import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Disk, Input, Level, Output } from '../../ipam/blocks.ts'
import { Blocks } from '../../ipam/blocks-step.ts'
import { Cluster, type Event, type Make } from './blocks.model.ts'

const nat = fc.nat(20)
const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({ what: fc.constantFrom('deliver' as const, 'write' as const), which: nat }),
  },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('lose' as const), which: nat }) },
  { weight: 5, arbitrary: fc.record({ what: fc.constant('agree' as const), a: nat, b: nat }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('forget' as const), a: nat, b: nat }) },
  {
    weight: 8,
    arbitrary: fc.record({
      what: fc.constantFrom('want' as const, 'container' as const, 'container' as const),
      host: nat,
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      what: fc.constantFrom(
        'crash' as const,
        'boot' as const,
        'boot' as const,
        'kill' as const,
        'backup' as const,
        'restore' as const,
      ),
      host: nat,
    }),
  },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('elsewhere' as const), host: nat }) },
)

/** Runs until a duplicate; the shortest run that has one is what a failure shows. */
function search(
  make: Make | undefined,
  runs: number,
  seed?: number,
): { story: string[]; duplicate: string } | undefined {
  let found: { story: string[]; duplicate: string } | undefined
  const property = fc.property(
    fc.integer({ min: 2, max: 4 }),
    fc.array(event, { minLength: 10, maxLength: 90, size: 'max' }),
    (count, events) => {
      const cluster = new Cluster(count, 8, make)
      for (const one of events) {
        const duplicate = cluster.do(one)
        if (!duplicate) continue
        found = { story: cluster.story, duplicate }
        return false
      }
      return true
    },
  )
  fc.check(property, { numRuns: runs, ...(seed === undefined ? {} : { seed }) })
  return found
}

const runs = Number(process.env.BLOCKS_RUNS ?? 2000)

describe('blocks of a pool', () => {
  it('never give an address twice: hosts × partitions × crashes × restored disks × takeovers', () => {
    const found = search(undefined, runs)
    assert.equal(found, undefined, [...(found?.story ?? []), found?.duplicate].join('\n'))
  }).timeout(240_000)

  it('are not taken for own ones by a host that is killed between hearing that it was forgotten and writing it down', () => {
    const cluster = new Cluster(2, 8)
    const events: Event[] = [
      { what: 'want', host: 0 },
      { what: 'want', host: 0 },
      { what: 'crash', host: 0 },
      { what: 'deliver', which: 4 },
      { what: 'forget', a: 1, b: 0 },
      { what: 'write', which: 0 },
      { what: 'want', host: 1 },
      { what: 'boot', host: 0 },
      { what: 'agree', a: 1, b: 0 },
      { what: 'kill', host: 0 },
      { what: 'write', which: 0 },
      { what: 'container', host: 0 },
      { what: 'write', which: 0 },
      { what: 'container', host: 1 },
    ]
    for (const each of events) assert.equal(cluster.do(each), '', cluster.story.join('\n'))
  })

  describe('the search finds a duplicate where', () => {
    for (const [name, Broken] of Object.entries(broken())) {
      it(name, () => {
        const found = search((host, life, disk, level) => new Broken(host, life, disk, level), 20_000, 1)
        assert.ok(found, 'no duplicate in 20000 runs')
      }).timeout(240_000)
    }
  })
})

/** Each breaks one rule. */
function broken(): Record<string, new (host: string, life: number, disk: Disk, level: Level) => Blocks> {
  return {
    'a gift is sent before it is on disk': class extends Blocks {
      override step(input: Input): Output[] {
        const outputs = super.step(input)
        const writes = outputs.filter(output => output.type === 'persist')
        return [...outputs, ...writes.flatMap(({ version }) => super.step({ type: 'persisted', version }))]
      }
    },
    'a disk is believed to be the newest': class extends Blocks {
      constructor(host: string, life: number, disk: Disk) {
        super(host, life, disk, 2)
      }
    },
    'a successor asks nobody': class extends Blocks {
      override step(input: Input): Output[] {
        if (input.type !== 'forget') return super.step(input)
        const outputs = super.step(input)
        const { blocks } = this.disk.heir[input.host] ?? { blocks: [] }
        this.disk.free.push(...blocks)
        return outputs
      }
    },
  }
}
