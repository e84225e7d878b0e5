import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { settings } from '../../bin/settings.ts'
import { attempt, run } from '../bed/run.ts'

const project = resolve(import.meta.dirname, '../..')
const deploy = (name: string) => readFileSync(join(project, 'deploy', name), 'utf8')

describe('make install', function () {
  this.timeout(120_000)
  const folder = mkdtempSync(join(tmpdir(), 'ts-install-'))
  const at = (path: string) => join(folder, path)
  const install = () => run(['make', '-s', '-C', project, 'install', `DESTDIR=${folder}`])
  after(() => rmSync(folder, { recursive: true }))

  it('puts programs that run from where they are', async () => {
    await install()
    const answer = await attempt([at('opt/tsnet/tsnetd'), '--log=loud'])
    assert.match(answer.stderr, /TSNET_LOG can't be "loud"/)
    assert.match(await run([at('opt/tsnet/tsnet'), 'help']), /members/)
    assert.equal(readlinkSync(at('usr/local/bin/tsnet')), '/opt/tsnet/tsnet')
    for (const path of deploy('tsnetd.service').match(/(?<==-?)\/\S+/g) ?? [])
      assert.ok(existsSync(at(path)), path)
  })

  it('keeps settings, which only their owner reads, and replaces the programs', async () => {
    const path = at('etc/tsnet/tsnetd.env')
    assert.equal(statSync(path).mode & 0o777, 0o600)
    writeFileSync(path, 'TSNET_LOG=debug\n')
    writeFileSync(at('opt/tsnet/tsnetd.js'), '')
    await install()
    assert.equal(readFileSync(path, 'utf8'), 'TSNET_LOG=debug\n')
    assert.ok(statSync(at('opt/tsnet/tsnetd.js')).size > 100_000)
  })

  it('has settings that the daemon knows, in the sample and in the guide', () => {
    const known = Object.values(settings).map(({ env }) => env)
    const texts = [deploy('tsnetd.env'), readFileSync(join(project, 'docs/hosts.md'), 'utf8')]
    for (const text of texts) {
      const named = text.match(/\bTSNET_[A-Z_]+/g) ?? []
      assert.ok(named.length > 1)
      for (const each of named) assert.ok((known as string[]).includes(each), each)
    }
  })

  const reason = existsSync('/usr/bin/systemd-analyze') ? undefined : 'systemd-analyze is missing'
  ;(reason ? it.skip : it)(`has units that systemd takes${reason ? `: ${reason}` : ''}`, async () => {
    const units = at('etc/systemd/system')
    for (const name of ['sysinit', 'basic', 'shutdown', 'sockets'])
      writeFileSync(join(units, `${name}.target`), '[Unit]\nDefaultDependencies=no\n')
    const own = ['tsnetd.service', 'tsnetd.socket'].map(name => join(units, name))
    const { stderr } = await attempt(['systemd-analyze', 'verify', '--root', folder, ...own])
    assert.equal(stderr, '')
  })
})
