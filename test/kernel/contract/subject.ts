import assert from 'node:assert/strict'
import type { Kernel, Outcome, Scope } from '../../../core/faces.ts'
import { line } from '../../../core/lines.ts'
import type { LinkRow, Row, Step, Verb } from '../../../core/rows.ts'

/** A namespace that outlives the kernels opened on it: a second `open` is the daemon after kill -9. */
export type Bed = {
  open(): Promise<Kernel>
  /** Deletes a link behind the kernel's back. */
  lose(link: string): Promise<void>
  /** `nft flush ruleset`. */
  flush(): Promise<void>
  /** Somebody else's bridge. */
  foreignBridge(name: string): Promise<void>
  foreignVeth(name: string): Promise<void>
  foreignAddress(link: string, address: string): Promise<void>
  /** Whether a link is there, whoever made it. */
  hasLink(name: string): Promise<boolean>
  /** Path of another namespace, a container's. */
  container(): Promise<string>
  /** A machine with this address on the LAN behind link `lan0`, which comes with the first one. Answers its MAC. */
  neighbour(address: string): Promise<string>
  /** What that LAN was told of an address since `neighbour`: its MAC. */
  heard(address: string): Promise<string | undefined>
  /** Why this kernel can't make links of a type; undefined when it can. */
  lacks(type: LinkRow['type']): string | undefined
  /** Brings up somebody else's FORWARD chains, one of each kind. */
  firewalls(): Promise<void>
  dispose(): Promise<void>
}

export const step = (verb: Verb, row: Row, was = row): Step =>
  verb === 'add' ? { verb, row, reason: 'test' } : { verb, row, was, reason: 'test' }
export const adds = (...rows: Row[]): Step[] => rows.map(row => step('add', row))
export const codes = (outcomes: Outcome[]) =>
  outcomes.map(outcome => (outcome.ok ? 'ok' : outcome.error.code))

/** A kernel on a fresh bed for each test, and what is asked of it again and again. */
export class Subject {
  bed!: Bed
  kernel!: Kernel

  /** To be called inside of a describe. */
  constructor(factory: () => Promise<Bed>) {
    beforeEach(async () => {
      this.bed = await factory()
      this.kernel = await this.bed.open()
    })
    afterEach(async () => {
      await this.kernel?.close()
      await this.bed?.dispose()
    })
  }

  async apply(...steps: Step[]): Promise<string[]> {
    return codes(await this.kernel.apply(steps))
  }

  async add(...rows: Row[]): Promise<void> {
    assert.deepEqual(
      await this.apply(...adds(...rows)),
      rows.map(() => 'ok'),
    )
  }

  look(...rows: Row[]): Promise<Row[]> {
    return this.kernel.read({ owned: false, rows })
  }

  async lines(scope: Scope): Promise<string[]> {
    return (await this.kernel.read(scope)).map(line).sort()
  }

  owned(): Promise<string[]> {
    return this.lines({ owned: true, rows: [] })
  }

  /** The fields that were asked for, as they are read. */
  async assertPresent(...rows: Row[]): Promise<void> {
    for (const row of rows) {
      const [found] = await this.look(row)
      assert.ok(found, `absent: ${line(row)}`)
      const shown = Object.fromEntries(Object.keys(row).map(name => [name, (found as never)[name]]))
      const { peer: _, ...asked } = row as LinkRow
      assert.deepEqual({ ...shown, peer: undefined }, { ...asked, peer: undefined })
    }
  }

  async assertAbsent(...rows: Row[]): Promise<void> {
    assert.deepEqual((await this.look(...rows)).map(line), [])
  }
}
