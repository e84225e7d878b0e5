import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

/** Which room may look into which; `bin` joins the parts, so nobody looks into `bin`. */
const arrows: Record<string, readonly string[]> = {
  bin: [
    'cli',
    'cni',
    'core',
    'dhcp',
    'driver',
    'gossip',
    'ipam',
    'kernel',
    'modes',
    'names',
    'netlink',
    'store',
    'vxlan-fdb',
  ],
  cli: ['core'],
  driver: ['core'],
  ipam: ['core'],
  cni: ['core', 'ipam'],
  modes: ['core'],
  kernel: ['core', 'netlink'],
  store: ['core'],
  core: [],
  dhcp: ['netlink'],
  gossip: [],
  names: [],
  'vxlan-fdb': [],
  netlink: [],
}

/** Node's own modules that do no I/O: the hall may use them to understand an address. */
const pure = new Set(['node:net'])

const root = resolve(import.meta.dirname, '..')

describe('rooms', () => {
  for (const [room, allowed] of Object.entries(arrows)) {
    it(`${room} looks into ${allowed.join(', ') || 'nobody'}`, () => {
      const wrong = sources(join(root, room)).flatMap(file =>
        imports(file)
          .filter(target => !reachable(room, file, target, allowed))
          .map(target => `${relative(root, file)} imports ${target}`),
      )
      assert.deepEqual(wrong, [])
    })
  }

  it('core does no I/O', () => {
    const wrong = sources(join(root, 'core')).flatMap(file =>
      imports(file).filter(target => !target.startsWith('.') && !pure.has(target) && target !== 'zod'),
    )
    assert.deepEqual(wrong, [])
  })
})

function reachable(room: string, file: string, target: string, allowed: readonly string[]): boolean {
  if (target === '@tsnet/netlink') return allowed.includes('netlink')
  if (!target.startsWith('.')) return true
  const to = relative(root, resolve(dirname(file), target)).split('/')[0] ?? ''
  return to === room || allowed.includes(to)
}

function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts') && !name.includes('node_modules'))
    .map(name => join(folder, name))
}

function imports(file: string): string[] {
  const text = readFileSync(file, 'utf8')
  const found = text.matchAll(
    /^(?:import|export|\}).* from '([^']+)'$|^import '([^']+)'$|\bimport\('([^']+)'\)/gm,
  )
  return [...found].flatMap(match => match[1] ?? match[2] ?? match[3] ?? [])
}
