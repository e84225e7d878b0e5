import { execFile } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { unpacked } from './package.ts'
import { run } from './run.ts'

/** Newest Go of a Debian release that stays; what is built with it asks for 1.24.0 or less. */
const VERSION = '1.24'
const SUITE = 'trixie'

/** Runs the `go` command in a folder and returns what it printed. */
export type Go = (cwd: string, ...args: string[]) => Promise<string>

type Replacement = { Old: { Path: string }; New: { Path: string } }
type GoMod = { Replace?: Replacement[] | null }

/** Debian's Go with caches of its own below `folder`; modules come from where the environment's GOPROXY says. */
export async function goIn(folder: string): Promise<Go> {
  const root = join(folder, 'go')
  await mkdir(root, { recursive: true })
  for (const name of [`golang-${VERSION}-go`, `golang-${VERSION}-src`])
    await run(['cp', '-a', `${await unpacked(name, SUITE)}/.`, root], { deadline: 120_000 })
  const GOROOT = join(root, `usr/lib/go-${VERSION}`)
  const env = {
    ...process.env,
    GOROOT,
    GOPATH: join(folder, 'path'),
    GOMODCACHE: join(folder, 'path/pkg/mod'),
    GOCACHE: join(folder, 'cache'),
    GOTOOLCHAIN: 'local',
    // A go.work in a module's root names folders that the module doesn't have.
    GOWORK: 'off',
    CGO_ENABLED: '0',
  }
  return async (cwd, ...args) => {
    const options = { cwd, env, maxBuffer: 2 ** 24 }
    return (await promisify(execFile)(join(GOROOT, 'bin/go'), args, options)).stdout
  }
}

/** A module's source as a tree of its own, below `folder`; go.sum and the environment's GOSUMDB vouch for what it depends on. */
export async function moduleTree(go: Go, folder: string, name: string, version: string): Promise<string> {
  const found = await go(folder, 'mod', 'download', '-modcacherw', '-json', `${name}@${version}`)
  const tree = join(folder, 'source', name)
  await mkdir(join(tree, '..'), { recursive: true })
  await run(['cp', '-R', (JSON.parse(found) as { Dir: string }).Dir, tree], { deadline: 120_000 })
  return tree
}

/** Takes modules from where others find them that go.mod replaces by folders: a module's archive holds no other modules. */
export async function unreplace(go: Go, tree: string, version: string): Promise<void> {
  const { Replace } = JSON.parse(await go(tree, 'mod', 'edit', '-json')) as GoMod
  const names = (Replace ?? []).filter(each => each.New.Path.startsWith('./')).map(({ Old }) => Old.Path)
  const text = await readFile(join(tree, 'go.mod'), 'utf8')
  const required = names.filter(name => text.includes(`${name} v0.0.0`))
  await go(
    tree,
    'mod',
    'edit',
    ...names.map(name => `-dropreplace=${name}`),
    ...required.map(name => `-require=${name}@${version}`),
  )
}

/** Builds one package of a tree into a static program. */
export function buildProgram(
  go: Go,
  tree: string,
  what: string,
  output: string,
  flags = '',
): Promise<string> {
  const how = ['-mod=mod', '-modcacherw', '-buildvcs=false', '-trimpath', '-ldflags', `-s -w${flags}`]
  return go(tree, 'build', ...how, '-o', output, what)
}
