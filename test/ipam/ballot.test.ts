import assert from 'node:assert/strict'
import fc from 'fast-check'
import { type Ballot, voteOf } from '../../ipam/ballot.ts'

/** Hosts that hear each other's votes late, in any order, and forget what wasn't on disk. */
class Voters {
  readonly hosts: { name: string; disk: Ballot; heard: Map<string, Ballot> }[]

  constructor(count: number) {
    this.hosts = Array.from({ length: count }, (_, at) => ({
      name: 'ABCDE'[at] ?? '',
      disk: { founded: false },
      heard: new Map(),
    }))
  }

  do(what: 'hear' | 'vote' | 'forget', a: number, b: number): void {
    const [one, other] = [this.#host(a), this.#host(b)]
    if (what === 'forget') one.heard.clear()
    if (what === 'hear' && one !== other) one.heard.set(other.name, { ...other.disk })
    if (what === 'vote') this.#vote(one, b % 2 === 0)
  }

  /** Everybody hears everybody, until nothing changes. */
  settle(): void {
    for (let round = 0; round < 10; round++) {
      for (const a of this.hosts.keys()) for (const b of this.hosts.keys()) this.do('hear', a, b)
      for (const a of this.hosts.keys()) this.do('vote', a, 0)
    }
  }

  founders(): string[] {
    return this.hosts.filter(({ disk }) => disk.founded).map(({ name }) => name)
  }

  #vote(host: Voters['hosts'][number], may: boolean): void {
    const vote = voteOf(host.name, host.disk, host.heard, may)
    const others = this.hosts.filter(({ name }) => name !== host.name)
    const elected = vote === host.name && host.disk.vote === vote
    const all = others.every(({ name }) => host.heard.get(name)?.vote === host.name)
    host.disk = { vote, founded: host.disk.founded || (elected && all) }
  }

  #host(at: number) {
    return this.hosts[at % this.hosts.length] as Voters['hosts'][number]
  }
}

describe('who owns a pool at its birth', () => {
  it('is one host at most at any time, and one at last', () => {
    const event = fc.tuple(fc.constantFrom('hear', 'vote', 'vote', 'forget'), fc.nat(9), fc.nat(9))
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.array(event, { maxLength: 80 }), (count, events) => {
        const voters = new Voters(count)
        for (const [what, a, b] of events) {
          voters.do(what as 'hear', a, b)
          assert.ok(voters.founders().length <= 1, voters.founders().join())
        }
        voters.settle()
        assert.equal(voters.founders().length, 1)
      }),
      { numRuns: 2000 },
    )
  })
})
