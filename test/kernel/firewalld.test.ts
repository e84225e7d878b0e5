import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { befriendFirewalld } from '../../kernel/firewalld.ts'

describe('firewalld', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ts-test-firewalld-'))
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  it('is told of our bridges once', async () => {
    assert.equal(await befriendFirewalld(folder), true)
    assert.match(await readFile(join(folder, 'zones/tsnet.xml'), 'utf8'), /target="ACCEPT"[\s\S]*tsb-\+/)
    assert.equal(await befriendFirewalld(folder), false)
  })

  it('keeps what an administrator made of our zone', async () => {
    await befriendFirewalld(folder)
    await writeFile(join(folder, 'zones/tsnet.xml'), 'mine')
    assert.equal(await befriendFirewalld(folder), false)
    assert.equal(await readFile(join(folder, 'zones/tsnet.xml'), 'utf8'), 'mine')
  })

  it('is left alone where it is not installed', async () => {
    assert.equal(await befriendFirewalld(join(folder, 'nowhere')), false)
  })
})
