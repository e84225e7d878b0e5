import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { type Served, serve } from '../../bin/serve.ts'
import type { MethodTable } from '../../core/methods.ts'
import { until } from '../bed/until.ts'
import { bytes, raw, statuses } from './client.ts'

const log = pino({ level: 'silent' })
const who: MethodTable = { 'Test.Who': { run: () => ({ pid: process.pid }) } }
const ask = (path: string) => raw(path, [bytes('Test.Who')], { enough: heard => heard.endsWith('}') })
const refusedAt = (path: string) =>
  until('the socket refuses', async () => !(await raw(path, [bytes('Test.Who')]).catch(() => '')))

describe('the socket', function () {
  this.timeout(60_000)
  let folder: string
  let path: string
  const ends: (() => unknown)[] = []
  const later = <T>(thing: T, end: () => unknown): T => {
    ends.push(end)
    return thing
  }
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'ts-test-socket-'))
    path = join(folder, 'a', 'b', 'tsnet.sock')
  })
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end()
    rmSync(folder, { recursive: true })
  })

  async function served(methods: MethodTable = who, mode?: number): Promise<Served> {
    const daemon = await serve({ path, methods, log, ...(mode !== undefined && { mode }) })
    let closing: Promise<void> | undefined
    const close = () => {
      closing ??= daemon.close()
      return closing
    }
    return later({ close }, close)
  }

  /** A daemon in a process of its own, once it serves. It ends with its standard input. */
  async function child(
    script = 'activated.ts',
    ...paths: string[]
  ): Promise<{ pid: number; process: ChildProcess }> {
    const argv = [join(import.meta.dirname, script), ...paths, path]
    const process_ = spawn(process.execPath, argv, { stdio: ['pipe', 'pipe', 'inherit'] })
    later(process_, async () => {
      const exit = exited(process_)
      process_.stdin?.end()
      await exit
    })
    const [line] = await once(process_.stdout as NodeJS.ReadableStream, 'data')
    return { pid: Number(line), process: process_ }
  }

  it('its folder is made, and only root may use it, from the first moment', async () => {
    const mask = process.umask(0o022)
    later(mask, () => process.umask(mask))
    await served()
    assert.equal(lstatSync(path).mode & 0o777, 0o600)
    assert.equal(lstatSync(join(folder, 'a')).mode & 0o777, 0o755)
    assert.equal(process.umask(0o022), 0o022)
  })

  it('another mode', async () => {
    await served(who, 0o660)
    assert.equal(lstatSync(path).mode & 0o777, 0o660)
  })

  it('a file that a killed daemon left is replaced', async () => {
    const killed = await child()
    process.kill(killed.pid, 'SIGKILL')
    await exited(killed.process)
    assert.ok(existsSync(path))
    await served()
    assert.match(await ask(path), new RegExp(`"pid":${process.pid}\\b`))
  })

  it('a living daemon is left alone', async () => {
    await served()
    await assert.rejects(serve({ path, methods: who, log }), {
      name: 'Refused',
      message: `another daemon listens on ${path}: stop it first`,
    })
    assert.deepEqual(statuses(await ask(path)), [200])
  })

  it('a file that is no socket is left alone', async () => {
    path = join(folder, 'tsnet.sock')
    writeFileSync(path, 'precious')
    await assert.rejects(serve({ path, methods: who, log }), { name: 'Refused', message: /is not a socket/ })
    assert.ok(lstatSync(path).isFile())
  })

  it('a path that can’t be is an error, not a crash', async () => {
    path = join(folder, 'x'.repeat(120))
    await assert.rejects(serve({ path, methods: who, log }))
  })

  it('goes away with the daemon', async () => {
    const daemon = await served()
    await daemon.close()
    assert.deepEqual(readdirSync(join(path, '..')), [])
  })

  it('close answers what has begun, takes nothing new and ends the rest', async () => {
    const begun = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<object>()
    const slow = () => {
      begun.resolve()
      return gate.promise
    }
    const daemon = await served({ ...who, 'Test.Slow': { run: slow } })
    const idle = raw(path, [bytes('Test.Who')])
    const silent = raw(path, [])
    const half = raw(path, [bytes('Test.Who').subarray(0, 20)])
    const inFlight = raw(path, [bytes('Test.Slow')])
    await begun.promise

    const closed = daemon.close()
    await refusedAt(path)
    gate.resolve({ done: true })
    await closed
    assert.match(await inFlight, /"done":true/)
    assert.deepEqual(statuses(await idle), [200])
    assert.equal(await silent, '')
    assert.equal(await half, '')
  })

  it('a connection is kept between requests', async () => {
    await served()
    const socket = connect(path)
    later(socket, () => socket.destroy())
    for (let count = 0; count < 3; count++) {
      socket.write(bytes('Test.Who'))
      const [heard] = await once(socket, 'data')
      assert.doesNotMatch(String(heard), /Connection: close|timeout/i)
    }
  })

  it('passed by systemd is used, whichever of several it is, and stays when the daemon ends', async () => {
    path = join(folder, 'driver.sock')
    const daemon = await child('passer.ts', join(folder, 'other.sock'))
    assert.match(await ask(path), new RegExp(`"pid":${daemon.pid}\\b`))
    const { ino } = lstatSync(path)
    process.kill(daemon.pid, 'SIGTERM')
    await exited(daemon.process)
    assert.equal(daemon.process.exitCode, 0)
    assert.equal(lstatSync(path).ino, ino)
  })

  it('that another process was passed is not ours', async () => {
    const { LISTEN_PID, LISTEN_FDS } = process.env
    Object.assign(process.env, { LISTEN_PID: String(process.ppid), LISTEN_FDS: '1' })
    later(process.env, () => {
      delete process.env.LISTEN_PID
      delete process.env.LISTEN_FDS
      Object.assign(process.env, LISTEN_PID && { LISTEN_PID }, LISTEN_FDS && { LISTEN_FDS })
    })
    await served()
    assert.deepEqual(statuses(await ask(path)), [200])
  })
})

async function exited(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}
