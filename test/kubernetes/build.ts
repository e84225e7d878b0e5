import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { downloadSource, run } from '../../rootfs/debian.ts'
import { unpacked } from '../bed/package.ts'

/** Debian bookworm has the last source package of Kubernetes that is whole: newer ones are cut down to kubectl. */
const RELEASE = '1.20.2'
const programs = [
  'kubelet',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kube-proxy',
  'kubectl',
]

const cache = resolve(import.meta.dirname, '../../.cache/kubernetes')
/** Where the programs are once they were built. */
export const binaries = join(cache, RELEASE)

/** Why there is no Kubernetes to test with; undefined when there is one. */
export function absent(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root'
  return existsSync(binaries)
    ? undefined
    : `Kubernetes ${RELEASE} is not built: make kubernetes (up to half an hour, 1.5 GB)`
}

/** Builds Kubernetes from Debian's source, with Debian's Go of that time, unless it is there. */
export async function buildKubernetes(): Promise<void> {
  if (existsSync(binaries)) return
  await mkdir(cache, { recursive: true })
  const folder = await mkdtemp(`${binaries}.`)
  try {
    await compile(folder, await sources(folder))
    await rename(join(folder, 'bin'), binaries)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The source where Go looked for it before modules: its go.mod doesn't agree with what Debian left of vendor/. */
async function sources(folder: string): Promise<string> {
  const tree = join(folder, 'path/src/k8s.io/kubernetes')
  await mkdir(tree, { recursive: true })
  const archive = await downloadSource('bookworm', await made(folder, 'apt'), 'kubernetes')
  await run('tar', '-C', tree, '--strip-components=1', '-xf', archive)
  return tree
}

async function compile(folder: string, tree: string): Promise<void> {
  const go = await goFor(folder, tree)
  const generator = join(folder, 'openapi-gen')
  await go('build', '-o', generator, './vendor/k8s.io/kube-openapi/cmd/openapi-gen')
  await generateOpenapi(generator, tree, await goEnv(folder))
  for (const program of programs) {
    process.stdout.write(`${program}\n`)
    const output = join(await made(folder, 'bin'), program)
    await go('build', '-p', '2', '-trimpath', '-ldflags', flags, '-o', output, `./cmd/${program}`)
  }
}

/** The release is written into the programs: nodes tell it, and clients refuse others that are too old. */
const flags = ['component-base/version', 'client-go/pkg/version']
  .flatMap(name => [`gitVersion=v${RELEASE}`, 'gitMajor=1', 'gitMinor=20'].map(each => `${name}.${each}`))
  .reduce((all, each) => `${all} -X k8s.io/kubernetes/vendor/k8s.io/${each}`, '-s -w')

/** What kube-apiserver says of its own API isn't in the source, and without it there is no kube-apiserver. */
async function generateOpenapi(generator: string, tree: string, env: NodeJS.ProcessEnv): Promise<void> {
  const found = await promisify(execFile)(
    'grep',
    ['-rlE', '--include=*.go', '^// \\+k8s:openapi-gen=', 'pkg', 'staging/src/k8s.io'],
    { cwd: tree, maxBuffer: 2 ** 24 },
  )
  const folders = found.stdout
    .split('\n')
    .filter(name => name && !/_test\.go$|_examples|sample-apiserver/.test(name))
    .map(name => name.replace(/\/[^/]*$/, '').replace(/^staging\/src/, 'vendor'))
    .map(name => `k8s.io/kubernetes/${name}`)
  const output = ['-p', 'k8s.io/kubernetes/pkg/generated/openapi', '-O', 'zz_generated.openapi']
  const more = ['-h', 'hack/boilerplate/boilerplate.generatego.txt', '-r', '/dev/null']
  const input = [...new Set(folders)].sort().join()
  await promisify(execFile)(generator, ['-i', input, ...output, ...more], { cwd: tree, env })
}

async function goFor(folder: string, tree: string) {
  const env = await goEnv(folder)
  return (...args: string[]) =>
    promisify(execFile)(join(env.GOROOT as string, 'bin/go'), args, { cwd: tree, env, maxBuffer: 2 ** 24 })
}

async function goEnv(folder: string): Promise<NodeJS.ProcessEnv> {
  const root = join(folder, 'go')
  if (!existsSync(root))
    for (const name of ['golang-1.19-go', 'golang-1.19-src'])
      await run('cp', '-a', `${await unpacked(name)}/.`, await made(folder, 'go'))
  return {
    PATH: process.env.PATH,
    GOROOT: join(root, 'usr/lib/go-1.19'),
    GOPATH: join(folder, 'path'),
    GOCACHE: join(folder, 'cache'),
    GO111MODULE: 'off',
    CGO_ENABLED: '0',
  }
}

async function made(...names: string[]): Promise<string> {
  const folder = join(...names)
  await mkdir(folder, { recursive: true })
  return folder
}

if (import.meta.main) await buildKubernetes()
