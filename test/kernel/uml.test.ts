import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { Suite, Test } from 'mocha'
import { type Uml, uml } from '../bed/uml.ts'
import { obstacle } from './bed.ts'

const project = resolve(import.meta.dirname, '../..')

/** What is run there: what needs no nf_tables. */
const files = ['test/netlink/route.live.test.ts', 'test/kernel/linux.test.ts']
const chosen = [
  'rtnetlink',
  'kernel contract: linux links',
  // Its verifier wants whatever a program reads aligned, as some machines do.
  'kernel contract: linux shortcuts',
  'kernel contract, links on a parent',
]
/** At the least, so that a pattern which fits nothing is found out. */
const EXPECTED = 55

type Ended = { fullTitle: string; err: { message?: string; stack?: string } }
type Report = { passes: Ended[]; pending: Ended[]; failures: Ended[] }

const reason =
  obstacle() ?? (process.arch === 'x64' ? undefined : 'User Mode Linux is there for x86-64 alone')

;(reason ? describe.skip : describe)(`another kernel${reason ? `: ${reason}` : ''}`, function () {
  let bed: Uml

  after(() => bed?.dispose())

  // Its tests are known when they have run: mocha looks at a suite's own suites after its tests.
  it('boots, and runs its tests to their end', async () => {
    bed = await uml()
    const { printed } = await bed.run(command)
    const { passes, pending, failures } = await report(printed)
    assert.ok(passes.length >= EXPECTED, `${passes.length} tests passed there`)
    assert.deepEqual(
      pending.map(each => each.fullTitle).filter(title => /shortcuts/.test(title)),
      [],
    )
    const inner = Suite.create(this, 'in it')
    for (const each of passes) inner.addTest(new Test(each.fullTitle, () => undefined))
    for (const each of pending) inner.addTest(new Test(each.fullTitle))
    for (const each of failures) inner.addTest(new Test(each.fullTitle, () => fail(each)))
  }).timeout(320_000)

  async function report(printed: string): Promise<Report> {
    try {
      return JSON.parse(await readFile(join(bed.folder, 'report.json'), 'utf8'))
    } catch {
      throw new Error(`the tests in User Mode Linux ended without a report:\n${printed.slice(-2000)}`)
    }
  }
})

// Each test has a thread of the kernel of its own, whose sources are compiled once only with a cache.
const command = `
  export NODE_COMPILE_CACHE=/run/tmp
  cd '${project}'
  '${process.execPath}' node_modules/mocha/bin/mocha.js --reporter json --reporter-option output=/run/out/report.json \\
    --grep '^(${chosen.join('|')})' ${files.join(' ')}`

function fail({ err }: Ended): never {
  const error = new Error(err.message)
  error.stack = err.stack ?? ''
  throw error
}
