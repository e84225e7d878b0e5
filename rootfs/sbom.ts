import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Package } from './packages.ts'

type Manifest = { name: string; version: string; license?: string }

const project = resolve(import.meta.dirname, '..')

/**
 * What is in the plugin, as CycloneDX 1.6: Debian's packages, Node, and the npm packages that esbuild says it took something of. Without
 * the serial number and date that would make each build another one.
 */
export async function sbom(packages: readonly Package[], dist: string): Promise<string> {
  const own = manifest(join(project, 'package.json'))
  const components = [...packages.map(debian), node(dist), ...bundled(join(dist, 'bundle.json')).map(npm)]
  const bom = {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: { component: { type: 'application', name: own.name, version: own.version, ...license(own) } },
    components,
  }
  return `${JSON.stringify(bom, undefined, 2)}\n`
}

const debian = ({ name, version, sha256 }: Package) => ({
  type: 'library',
  name,
  version,
  purl: `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}`,
  hashes: [{ alg: 'SHA-256', content: sha256 }],
})

function node(dist: string) {
  const { version } = manifest(join(project, 'node_modules/node/package.json'))
  return {
    type: 'application',
    name: 'node',
    version,
    purl: `pkg:npm/node@${version}`,
    hashes: [{ alg: 'SHA-256', content: hash('sha256', readFileSync(join(dist, 'node'))) }],
  }
}

const npm = (of: Manifest) => ({
  type: 'library',
  name: of.name,
  version: of.version,
  purl: `pkg:npm/${of.name.replace('@', '%40')}@${of.version}`,
  ...license(of),
})

const license = (of: Manifest) => (of.license ? { licenses: [{ expression: of.license }] } : {})

/** Folders below `node_modules` that esbuild's metafile names, without those of this project. */
function bundled(metafile: string): Manifest[] {
  const { inputs } = JSON.parse(readFileSync(metafile, 'utf8')) as { inputs: Record<string, object> }
  const folders = Object.keys(inputs).flatMap(
    path => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? [],
  )
  return [...new Set(folders)].sort().map(folder => manifest(join(project, folder, 'package.json')))
}

const manifest = (path: string): Manifest => JSON.parse(readFileSync(path, 'utf8'))
