import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { conformance, type Subject } from './conformance.ts'
import { Node, shim } from './node.ts'
import { type Config, Plugin } from './runtime.ts'

const root = process.getuid?.() === 0
const describeAsRoot = root ? describe : describe.skip

async function tsnet(): Promise<Subject> {
  const node = await Node.up('conform')
  const config = {
    cniVersion: '1.0.0',
    name: 'pods',
    type: 'tsnet-cni',
    ipam: { type: 'tsnet', subnet: '10.93.0.0/16' },
  }
  return {
    plugin: new Plugin(shim, config, node.namespace, node.env),
    sandbox: () => node.sandbox(),
    traces: () => node.traces(),
    dispose: () => node.dispose(),
  }
}

async function other(path: string, config: (folder: string) => Config): Promise<Subject> {
  const node = await Node.bare('baseline')
  const env = { CNI_PATH: dirname(path) }
  return {
    plugin: new Plugin(path, config(node.folder), node.namespace, env),
    sandbox: () => node.sandbox(),
    traces: () => node.traces(),
    dispose: () => node.dispose(),
  }
}

const bridge = '/usr/lib/cni/bridge'
const bridgeConfig = (folder: string): Config => ({
  cniVersion: '1.0.0',
  name: 'reference',
  type: 'bridge',
  bridge: 'ref0',
  isGateway: true,
  isDefaultGateway: true,
  ipMasq: true,
  ipam: { type: 'host-local', subnet: '10.94.0.0/16', dataDir: join(folder, 'leases') },
})

/** What the reference plugin of Debian 12 (1.1.1) doesn't do. */
const baseline = new Set<string>([
  'an error names its version',
  'DEL without a namespace leaves nothing on the host',
  'DEL of a vanished namespace leaves nothing on the host',
  'a container has two links of one network',
])

describeAsRoot('cni: conformance', () => {
  const { CNI_PLUGIN: path, CNI_CONFIG: file } = process.env
  if (path && file) {
    const config = () => JSON.parse(readFileSync(file, 'utf8')) as Config
    conformance(path, () => other(path, config), { fails: new Set(), newest: false })
    return
  }
  conformance('tsnet-cni', tsnet, { fails: new Set(), newest: true })
  if (existsSync(bridge))
    conformance("Debian's bridge", () => other(bridge, bridgeConfig), { fails: baseline, newest: false })
})
