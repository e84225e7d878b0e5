import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { load, loadAll } from 'js-yaml'
import { settings } from '../../bin/settings.ts'
import { readConfig } from '../../cni/config.ts'
import { attempt, run } from '../bed/run.ts'
import { Node, shim } from '../cni/node.ts'

const folder = resolve(import.meta.dirname, '../../deploy/kubernetes')
const text = (name: string) => readFileSync(join(folder, name), 'utf8')

type Mount = { name: string; mountPath: string }
type Container = {
  name: string
  image: string
  command: string[]
  volumeMounts: Mount[]
  resources?: { limits?: object }
}
type Manifest = {
  kind: string
  spec: {
    selector: { matchLabels: object }
    template: {
      metadata: { labels: object }
      spec: {
        hostNetwork: boolean
        tolerations: object[]
        containers: Container[]
        volumes: { name: string; hostPath?: { path: string } }[]
      }
    }
  }
}
const manifests = (name: string) => loadAll(text(name)) as Manifest[]

describe('deploy/kubernetes', () => {
  it('names only what it has', () => {
    const { resources, configMapGenerator, secretGenerator } = load(text('kustomization.yaml')) as {
      resources: string[]
      configMapGenerator: { files: string[] }[]
      secretGenerator: { envs: string[] }[]
    }
    const named = [
      ...resources,
      ...configMapGenerator.flatMap(({ files }) => files),
      ...secretGenerator.flatMap(({ envs }) => envs),
    ]
    for (const file of named) assert.ok(existsSync(join(folder, file)), file)
  })

  it('mounts only volumes that it has, on every node', () => {
    for (const { kind, spec } of [...manifests('tsnet.yaml'), ...manifests('uninstall.yaml')]) {
      if (kind !== 'DaemonSet') continue
      const { hostNetwork, tolerations, containers, volumes } = spec.template.spec
      assert.deepEqual(spec.selector.matchLabels, spec.template.metadata.labels)
      assert.ok(hostNetwork)
      assert.deepEqual(tolerations, [{ operator: 'Exists' }])
      const there = new Set(volumes.map(({ name }) => name))
      for (const { volumeMounts } of containers)
        for (const { name } of volumeMounts) assert.ok(there.has(name), name)
    }
  })

  it('has the daemon look where the configuration is installed', () => {
    const sets = [...manifests('tsnet.yaml'), ...manifests('uninstall.yaml')].filter(
      ({ kind }) => kind === 'DaemonSet',
    )
    for (const { spec } of sets) {
      const { containers, volumes } = spec.template.spec
      const tsnetd = containers.find(({ name }) => name === 'tsnetd')
      const at = tsnetd?.volumeMounts.find(({ mountPath }) => mountPath === settings['cni-conf'].fallback)
      const volume = volumes.find(({ name }) => name === at?.name)
      assert.equal(volume?.hostPath?.path, '/etc/cni/net.d')
    }
  })

  it('its configuration is one that the daemon takes', () => {
    const { name, cniVersions, plugins } = JSON.parse(text('cni.conflist'))
    for (const cniVersion of cniVersions)
      assert.equal(readConfig(JSON.stringify({ name, cniVersion, ...plugins[0] })).name, 'pods')
  })
})

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip

describeAsRoot('deploy/kubernetes: install.sh', function () {
  this.timeout(60_000)
  let node: Node
  before(async () => {
    node = await Node.bare('install')
  })
  after(() => node?.dispose())

  const path = (...names: string[]) => join(node.folder, ...names)
  const script = (word: string) =>
    attempt([join(folder, 'install.sh'), word], {
      env: {
        PATH: process.env.PATH,
        ...node.env,
        CNI_BIN: path('bin'),
        CNI_CONF: path('net.d'),
        TSNET_CNI: shim,
        TSNET_CONFLIST: path('cni.conflist'),
      },
    })

  it('installs nothing before the daemon is ready', async () => {
    writeFileSync(path('cni.conflist'), text('cni.conflist'))
    assert.notEqual((await script('once')).code, 0)
    assert.equal(existsSync(path('net.d')), false)
  })

  it('installs both then, and leaves alone what is as it should be', async () => {
    await node.start()
    for (let i = 0; i < 2; i++) {
      const before = existsSync(path('bin')) && statSync(path('bin/tsnet-cni')).ino
      assert.equal((await script('once')).code, 0)
      assert.deepEqual(readdirSync(path('net.d')), ['05-tsnet.conflist'])
      assert.deepEqual(readdirSync(path('bin')), ['tsnet-cni'])
      assert.equal(statSync(path('bin/tsnet-cni')).mode & 0o777, 0o755)
      if (before) assert.equal(statSync(path('bin/tsnet-cni')).ino, before)
    }
  })

  it('replaces a plugin that runs', async () => {
    mkdirSync(path('bin'), { recursive: true })
    await run(['cp', '/bin/sleep', path('bin/tsnet-cni')])
    const running = attempt([path('bin/tsnet-cni'), '0.5'])
    assert.equal((await script('once')).code, 0)
    assert.deepEqual(readFileSync(path('bin/tsnet-cni')), readFileSync(shim))
    await running
  })

  it('takes both away', async () => {
    assert.equal((await script('remove')).code, 0)
    assert.deepEqual([...readdirSync(path('net.d')), ...readdirSync(path('bin'))], [])
  })

  it('makes an image whose programs run', async () => {
    await run([join(folder, 'image.sh'), resolve(shim, '..'), path('image.tar')], { deadline: 60_000 })
    for (const name of ['image', 'root']) mkdirSync(path(name))
    await run(['tar', '-C', path('image'), '-xf', path('image.tar')])
    await run(['tar', '-C', path('root'), '-xf', path('image/layer.tar')])
    const inside = (...argv: string[]) => run(['chroot', path('root'), ...argv])
    assert.match(await inside('/usr/sbin/iptables-nft', '--version'), /nf_tables/)
    assert.match(await inside('/opt/tsnet/tsnet', 'nonsense').catch(error => error.message), /nonsense/)
    assert.match(
      await inside('/bin/sh', '/opt/tsnet/install.sh', 'x').catch(error => error.message),
      /run, once or remove/,
    )
    assert.equal(existsSync(path('root/var/run')), true)
  })
})
