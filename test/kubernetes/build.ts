import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { buildProgram, type Go, goIn, moduleTree, unreplace } from '../bed/go.ts'
import { unpacked } from '../bed/package.ts'

/** Of Kubernetes. From 1.35 on a kubelet refuses cgroup v1 unless it is told otherwise. */
export const RELEASE = '1.34.4'
/** Of CoreDNS: one that knows the client library of that Kubernetes. */
const COREDNS = '1.13.1'

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
/** Likewise the program of CoreDNS. */
export const coredns = join(cache, `coredns-${COREDNS}`, 'coredns')

/** Why there is no Kubernetes to test with; undefined when there is one. */
export function absent(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root'
  return existsSync(binaries) && existsSync(coredns)
    ? undefined
    : `Kubernetes ${RELEASE} is not built: make kubernetes (half an hour, 4 GB meanwhile)`
}

/** Folder of etcd's package. */
export const etcd = (): Promise<string> => unpacked('etcd-server', 'trixie')

/** Builds Kubernetes and CoreDNS from their Go modules, with Debian's Go, unless they are there, and brings what they need. */
export async function buildKubernetes(): Promise<void> {
  // Another kernel's machine can't: it has no network.
  await etcd()
  await mkdir(cache, { recursive: true })
  const folder = await mkdtemp(join(cache, 'building.'))
  try {
    await buildInto(binaries, folder, kubernetes)
    await buildInto(join(coredns, '..'), folder, dns)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

type Build = (go: Go, folder: string, into: string) => Promise<void>

async function buildInto(target: string, folder: string, build: Build): Promise<void> {
  if (existsSync(target)) return
  const into = join(folder, 'bin', basename(target))
  await mkdir(into, { recursive: true })
  await build(await goIn(folder), folder, into)
  await rename(into, target)
}

async function kubernetes(go: Go, folder: string, into: string): Promise<void> {
  const tree = await moduleTree(go, folder, 'k8s.io/kubernetes', `v${RELEASE}`)
  await unreplace(go, tree, `v${RELEASE.replace(/^1/, '0')}`)
  for (const name of programs) {
    process.stdout.write(`${name}\n`)
    await buildProgram(go, tree, `./cmd/${name}`, join(into, name), flags)
  }
}

async function dns(go: Go, folder: string, into: string): Promise<void> {
  process.stdout.write('coredns\n')
  const tree = await moduleTree(go, folder, 'github.com/coredns/coredns', `v${COREDNS}`)
  await buildProgram(go, tree, '.', join(into, 'coredns'))
}

/** The release is written into the programs: nodes tell it, and clients refuse others that are too old. */
const [major, minor] = RELEASE.split('.')
const flags = ['component-base/version', 'client-go/pkg/version']
  .flatMap(name =>
    [`gitVersion=v${RELEASE}`, `gitMajor=${major}`, `gitMinor=${minor}`, 'gitTreeState=archive'].map(
      each => ` -X k8s.io/${name}.${each}`,
    ),
  )
  .join('')

if (import.meta.main) await buildKubernetes()
