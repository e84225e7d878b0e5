import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** Runs a program to its end; throws with what it complained of. */
export async function run(program: string, ...args: string[]): Promise<string> {
  const { stdout } = await execute(program, args, { maxBuffer: 2 ** 28 })
  return stdout.trimEnd()
}

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg'

/**
 * Downloads Debian packages with all that they depend on, libc included, from the mirror that this machine's apt uses, verified by
 * Debian's own keyring; nothing is installed. `wanted` are names, or names and versions as apt-get takes them.
 * @returns paths of the packages' files, inside `folder`
 */
export async function download(suite: string, folder: string, wanted: readonly string[]): Promise<string[]> {
  if (!existsSync(keyring)) throw new Error(`${keyring} is missing: apt-get install debian-archive-keyring`)
  const archives = join(folder, 'archives')
  for (const name of ['lists/partial', 'archives/partial'])
    await mkdir(join(folder, name), { recursive: true })
  // An empty status makes apt resolve the whole closure.
  await writeFile(join(folder, 'status'), '')
  await writeFile(
    join(folder, 'sources.list'),
    `deb [signed-by=${keyring}] ${await mirror()} ${suite} main\n`,
  )
  const apt = (...args: string[]) => run('apt-get', '-qq', ...options(folder), ...args)
  await apt('update')
  await apt('--yes', '--download-only', 'install', ...wanted)
  return (await readdir(archives))
    .filter(name => name.endsWith('.deb'))
    .sort()
    .map(name => join(archives, name))
}

/** apt with lists and a package status of its own. */
function options(folder: string): string[] {
  const settings = [
    `Dir::Etc::sourcelist=${folder}/sources.list`,
    'Dir::Etc::sourceparts=/dev/null',
    'Dir::Etc::preferences=/dev/null',
    'Dir::Etc::preferencesparts=/dev/null',
    `Dir::State::lists=${folder}/lists`,
    `Dir::State::status=${folder}/status`,
    `Dir::State::extended_states=${folder}/extended_states`,
    `Dir::Cache=${folder}`,
    `Dir::Cache::archives=${folder}/archives`,
    'APT::Sandbox::User=root',
    'APT::Install-Recommends=false',
    'Acquire::Languages=none',
    'Acquire::Retries=3',
  ]
  return settings.flatMap(setting => ['-o', setting])
}

/** The machine's own choice of Debian mirror: the first source whose path ends in `/debian/`. */
async function mirror(): Promise<string> {
  const targets = await run('apt-get', 'indextargets', '--format', '$(REPO_URI)')
  const found = targets.split('\n').find(uri => /\/debian\/?$/.test(uri))
  if (!found) throw new Error("this machine's apt knows no Debian mirror (apt-get indextargets)")
  return found
}

/** A program's shared libraries as the loader of an unpacked closure finds them there; absolute paths. */
export async function libraries(root: string, program: string): Promise<string[]> {
  const { loader, folder } = await loaderOf(root)
  const list = await run(loader, '--library-path', folder, '--list', program)
  return [...list.matchAll(/\/\S+/g)].map(([path]) => path).filter(path => path.startsWith(root))
}

/** The dynamic loader of an unpacked closure, and where its libraries are. */
export async function loaderOf(root: string): Promise<{ loader: string; folder: string }> {
  const triplet = (await readdir(join(root, 'usr/lib'))).find(name => name.endsWith('-linux-gnu'))
  for (const folder of ['usr/lib64', 'usr/lib']) {
    const names = await readdir(join(root, folder)).catch(() => [])
    const name = names.find(found => found.startsWith('ld-linux-'))
    if (name && triplet) return { loader: join(root, folder, name), folder: join(root, 'usr/lib', triplet) }
  }
  throw new Error(`${root} holds no dynamic loader`)
}
