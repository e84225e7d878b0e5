import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Absent, clusterSettings } from '../../bin/cluster/settings.ts'
import { KeyFile } from '../../bin/keyfile.ts'
import { readSettings } from '../../bin/settings.ts'
import { until } from '../bed/until.ts'

const key = (fill: number) => Buffer.alloc(32, fill)
const base64 = (fill: number) => key(fill).toString('base64')

describe('a file with gossip keys', () => {
  let folder = ''
  let path = ''
  let complaints: string[] = []
  const log = { warn: (_: object, words: string) => complaints.push(words) } as never
  const open = () => new KeyFile(path, log)
  const write = (text: string) => writeFileSync(path, text, { mode: 0o600 })

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'ts-test-'))
    path = join(folder, 'key')
    complaints = []
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('has one or several, on lines or with commas', () => {
    write(`${base64(1)}\n`)
    assert.deepEqual(open().keys, [key(1)])
    write(`${base64(1)},${base64(2)}\n${base64(3)}`)
    assert.deepEqual(open().keys, [key(1), key(2), key(3)])
    assert.deepEqual(complaints, [])
  })

  it('is refused in a sentence when others can read it, and when it has no keys', () => {
    write(base64(1))
    chmodSync(path, 0o640)
    assert.deepEqual(open().keys, [])
    chmodSync(path, 0o600)
    write('\n')
    open()
    write('hunter2')
    open()
    assert.match(complaints[0] ?? '', /can be read by others.*chmod 600/)
    assert.match(complaints[1] ?? '', /is empty: it has to have a gossip key/)
    assert.match(complaints[2] ?? '', /base64 of 16, 24 or 32 bytes/)
  })

  it('may come late and be renamed over; one that goes or is wrong takes nothing away', async () => {
    const file = open()
    let rings = 0
    file.follow(() => rings++)
    const rung = async (change: () => void) => {
      const before = rings
      change()
      await until('the file to be looked at', () => rings > before)
    }
    await rung(() => write(base64(1)))
    assert.deepEqual(file.keys, [key(1)])
    await rung(() => {
      writeFileSync(`${path}.new`, base64(2), { mode: 0o600 })
      renameSync(`${path}.new`, path)
    })
    assert.deepEqual(file.keys, [key(2)])
    await rung(() => write('hunter2'))
    await rung(() => rmSync(path))
    assert.deepEqual(file.keys, [key(2)])
    file.close()
  }).timeout(20_000)

  it('is where keys are expected in Swarm, unless TSNET_KEY or TSNET_KEY_FILE is set', () => {
    const of = (env: object) => KeyFile.of(readSettings([], { ...env }), log)?.path
    assert.equal(of({ TSNET_SCOPE: 'global' }), '/run/tsnet/key')
    assert.equal(of({ TSNET_SCOPE: 'global', TSNET_KEY: base64(1) }), undefined)
    assert.equal(of({ TSNET_KEY_FILE: path, TSNET_KEY: base64(1) }), path)
    assert.equal(of({}), undefined)
  })

  it('is waited for, unless its keys are known from an earlier life', async () => {
    const settings = readSettings([], { TSNET_BIND: '127.0.0.1', TSNET_KEY_FILE: path })
    const nothing = { path, keys: [], areKept: false }
    await assert.rejects(clusterSettings(settings, nothing), Absent)
    const known = await clusterSettings(settings, { ...nothing, areKept: true })
    assert.deepEqual([known.keys, known.areBrought], [[], true])
    const { keys } = await clusterSettings(
      readSettings([], { TSNET_BIND: '127.0.0.1', TSNET_KEY: base64(9) }),
      {
        ...nothing,
        keys: [key(1)],
      },
    )
    assert.deepEqual(keys, [key(1), key(9)])
  })
})
