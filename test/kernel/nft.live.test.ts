import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import type { Kernel } from '../../core/faces.ts'
import type { ChainRow, FieldType, SetRow } from '../../core/rows.ts'
import { digest, hookDigest } from '../../kernel/digest.ts'
import { ground } from '../../modes/firewall.ts'
import { type LiveBed, liveBed, obstacle } from './bed.ts'
import { adds, codes } from './contract/subject.ts'

const reason = obstacle()

;(reason ? describe.skip : describe)(`kernel: our table${reason ? `: ${reason}` : ''}`, function () {
  this.timeout(60_000)
  let bed: LiveBed
  let kernel: Kernel
  let other: string
  before(async () => {
    bed = await liveBed()
    kernel = await bed.open()
    other = await bed.container()
  })
  after(async () => {
    await kernel?.close()
    await bed?.dispose()
  })

  const inOther = (input: string, ...argv: string[]) =>
    execFileSync('nsenter', [`--net=${other}`, ...argv], { encoding: 'utf8', input, stdio: 'pipe' })
  const list = ['--stateless', 'list', 'table', 'inet', 'tsnet']

  it('is to nft what nft itself makes of the same words', async () => {
    const rows = ground().map(({ row }) => row)
    const chains = rows.filter(row => row.kind === 'chain')
    const sets = rows.filter(row => row.kind === 'set')
    const steps = adds(...[...chains, ...sets])
    assert.deepEqual(
      codes(await kernel.apply(steps)),
      steps.map(() => 'ok'),
    )
    inOther(
      [table, ...sets.map(addSet), ...chains.map(addChain), ...chains.flatMap(addRules)].join('\n'),
      'nft',
      '-f',
      '-',
    )
    assert.deepEqual(sorted(bed.run('nft', ...list)), sorted(inOther('', 'nft', ...list)))
  })
})

/** Chains and sets in the order of their names. */
const sorted = (listed: string) => listed.split(/\n(?=\t(?:chain|set|map) )/).sort()

const table = 'add table inet tsnet'

/** nft has no name for the type of some bytes of a packet, so all fields of such a set are told by where they are. */
const typeOf = (type: FieldType) =>
  type === 'vni' ? '@th,96,24' : type === 'inet_service' ? 'udp dport' : type

function addSet({ name, type, value, interval }: SetRow): string {
  const values = value && (value === 'verdict' ? value : value.join(' . '))
  const words = [type.join(' . '), values].filter(Boolean).join(' : ')
  const told = type.includes('vni') ? `typeof ${type.map(typeOf).join(' . ')}` : `type ${words}`
  return `add ${value ? 'map' : 'set'} inet tsnet ${name} { ${told};${interval ? ' flags interval;' : ''} }`
}

function addChain(row: ChainRow): string {
  const body = row.hook ? ` { ${row.hook}; comment "${hookDigest(row)}"; }` : ''
  return `add chain inet tsnet ${row.name}${body}`
}

const addRules = (row: ChainRow) =>
  row.rules.map(rule => `add rule inet tsnet ${row.name} ${rule} comment "${digest(row)}"`)
