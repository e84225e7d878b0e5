import assert from 'node:assert/strict'
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Conflists } from '../../bin/conflists.ts'
import type { Config } from '../../cni/config.ts'
import { configsIn } from '../../cni/conflist.ts'
import type { Network } from '../../core/records.ts'
import { memoryStore } from '../../store/memory.ts'
import { ownFolder } from '../bed/namespace.ts'
import { until } from '../bed/until.ts'

const plugin = { type: 'tsnet-cni', mode: 'nodes', ipam: { type: 'tsnet', subnet: '10.94.0.0/16' } }
const list = (name: string, ...plugins: object[]) => JSON.stringify({ cniVersion: '1.0.0', name, plugins })

/** A folder of configurations, and the networks that a node has because of them. */
class Bed {
  readonly folder = ownFolder('conflists')
  readonly had = new Set<string>()
  /** Networks that have containers. */
  readonly used = new Set<string>()
  /** Why networks can't be taken away now. */
  trouble: Error | undefined
  readonly warnings: string[] = []
  store = memoryStore()
  conflists = this.open()

  open(): Conflists {
    return new Conflists({
      folder: this.folder,
      networks: {
        of: async ({ name }) => {
          this.had.add(name)
          return {} as Network
        },
        drop: async name => {
          if (this.trouble) throw this.trouble
          if (this.used.has(name)) return false
          this.had.delete(name)
          return true
        },
      },
      isWanted: ({ mode }: Config) => mode === 'nodes',
      store: this.store,
      log: { debug() {}, info() {}, error() {}, warn: (_: object, text: string) => this.warnings.push(text) },
    })
  }

  /** As installers do. */
  put(file: string, text: string): void {
    mkdirSync(this.folder, { recursive: true })
    writeFileSync(join(this.folder, `${file}.new`), text)
    renameSync(join(this.folder, `${file}.new`), join(this.folder, file))
  }

  remove(file: string): void {
    rmSync(join(this.folder, file))
  }

  async networks(): Promise<string[]> {
    await this.conflists.look()
    return [...this.had].sort()
  }

  restart(): void {
    this.conflists.close()
    this.store = memoryStore(structuredClone(this.store.records))
    this.conflists = this.open()
  }
}

describe('configurations that lie where runtimes look for them', () => {
  let bed: Bed
  beforeEach(() => {
    bed = new Bed()
  })
  afterEach(() => {
    bed.conflists.close()
    rmSync(bed.folder, { recursive: true, force: true })
  })

  it('are looked at again after a look that failed', async () => {
    bed.put('10-tsnet.conflist', list('pods', plugin))
    assert.deepEqual(await bed.networks(), ['pods'])
    bed.trouble = new Error('the disk is full')
    bed.remove('10-tsnet.conflist')
    await assert.rejects(bed.networks(), bed.trouble)
    bed.trouble = undefined
    assert.deepEqual(await bed.networks(), [])
  })

  it('are read as a runtime reads them, those of others left out', () => {
    const more = { type: 'portmap', capabilities: { portMappings: true } }
    const [config] = configsIn(list('pods', plugin, more))
    assert.deepEqual([config?.name, config?.cniVersion, config?.mode], ['pods', '1.0.0', 'nodes'])
    assert.equal(configsIn(JSON.stringify({ ...plugin, name: 'one' }))[0]?.name, 'one')
    assert.deepEqual(configsIn('{"type": "loopback"}'), [])
    assert.throws(() => configsIn(list('pods', { ...plugin, nonsense: 1 })), /"nonsense" is not known/)
  })

  it('are networks of this node, where nodes are the way to pods', async () => {
    bed.put('05-tsnet.conflist', list('pods', plugin))
    bed.put('10-bridge.conf', JSON.stringify({ ...plugin, mode: 'bridge', name: 'bridge' }))
    bed.put('20-other.conflist', list('other', { type: 'bridge' }))
    bed.put('30-not-read.txt', list('text', plugin))
    assert.deepEqual(await bed.networks(), ['pods'])
  })

  it('that come, change and go are noticed', async () => {
    mkdirSync(bed.folder)
    assert.deepEqual(await bed.networks(), [])
    bed.put('05-tsnet.conflist', list('pods', plugin))
    await until('it to come', () => bed.had.has('pods'))
    bed.put('05-tsnet.conflist', list('renamed', plugin))
    await until('it to be another one', () => bed.had.has('renamed') && !bed.had.has('pods'))
    bed.remove('05-tsnet.conflist')
    await until('it to go', () => bed.had.size === 0)
  })

  it('are noticed in a folder that comes late, or in the place of another', async () => {
    assert.deepEqual(await bed.networks(), [])
    bed.put('05-tsnet.conflist', list('pods', plugin))
    assert.deepEqual(await bed.networks(), ['pods'])
    rmSync(bed.folder, { recursive: true })
    mkdirSync(bed.folder)
    assert.deepEqual(await bed.networks(), [])
    bed.put('05-tsnet.conflist', list('pods', plugin))
    await until('it to come back', () => bed.had.has('pods'))
  })

  it('that are taken away keep their network until its last container has gone', async () => {
    bed.put('05-tsnet.conflist', list('pods', plugin))
    await bed.networks()
    bed.used.add('pods')
    bed.remove('05-tsnet.conflist')
    assert.deepEqual(await bed.networks(), ['pods'])
    bed.restart()
    assert.deepEqual(await bed.networks(), ['pods'])
    bed.used.clear()
    assert.deepEqual(await bed.networks(), [])
    // One that no configuration made lie there isn't theirs to take away.
    bed.had.add('pods')
    assert.deepEqual(await bed.networks(), ['pods'])
  })

  it('that can’t be read are unknown, not gone, and told once', async () => {
    bed.put('05-tsnet.conflist', list('pods', plugin))
    await bed.networks()
    bed.put('05-tsnet.conflist', list('pods', plugin).slice(0, 50))
    assert.deepEqual(await bed.networks(), ['pods'])
    bed.put('05-tsnet.conflist', list('pods', { ...plugin, nonsense: 1 }))
    assert.deepEqual(await bed.networks(), ['pods'])
    assert.deepEqual(await bed.networks(), ['pods'])
    assert.equal(bed.warnings.filter(each => /"nonsense" is not known/.test(each)).length, 1)
    rmSync(bed.folder, { recursive: true })
    assert.deepEqual(await bed.networks(), ['pods'])
  })
})
