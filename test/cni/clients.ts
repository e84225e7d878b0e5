import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { unpacked } from '../bed/package.ts'
import type { CriNode, Release } from './containerd.ts'

/** A command that runs containers much as `docker` does, with networks of CNI. */
export type Client = {
  name: string
  /** Of the containerd beside it, and with it of Debian. */
  release: Release
  /** Why it can't be had here. */
  absent?: string
  /** Makes a node ready for it; returns the words before the command's own. */
  install(node: CriNode): Promise<string[]>
}

const found = (process.env.PATH ?? '').split(delimiter).find(each => existsSync(join(each, 'nerdctl')))

/** No Debian release has it. */
const nerdctl: Client = {
  name: 'nerdctl',
  release: '2.1',
  ...(!found && { absent: 'nerdctl (2.3.5, say) is not in PATH, and no Debian release has it' }),
  async install(node) {
    const places = ['--address', '/run/containerd.sock', '--data-root', join(node.folder, 'nerdctl')]
    const manners = ['--snapshotter', 'native', '--cgroup-manager', 'cgroupfs', '--namespace', 'k8s.io']
    return [join(found ?? '', 'nerdctl'), ...places, ...manners]
  },
}

/** The last release with CNI is of Debian's bookworm. */
const podman: Client = {
  name: 'podman 4.3',
  release: '1.6',
  async install(node) {
    const roots: string[] = []
    for (const each of packages) roots.push(await unpacked(each))
    await cover(node, roots)
    const folder = node.holder.path('/etc/containers')
    await mkdir(folder, { recursive: true })
    for (const [name, text] of Object.entries(files(node.folder))) await writeFile(join(folder, name), text)
    await node.run('podman', 'load', '--quiet', '--input', join(node.folder, 'image.tar'))
    return ['podman']
  },
}

export const clients = [nerdctl, podman]

// What of it the engine beside it doesn't have. Nothing else of the node is touched.
const packages = 'podman conmon libglib2.0-0 libgpgme11 libassuan0 libsubid4'.split(' ')

/** Puts what packages have over what the node has. */
async function cover(node: CriNode, roots: readonly string[]): Promise<void> {
  const layers = [...roots.map(root => join(root, 'usr')), '/usr'].join(':')
  await node.run('mount', '-t', 'overlay', '-o', `lowerdir=${layers}`, 'overlay', '/usr')
}

const files = (folder: string): Record<string, string> => ({
  'policy.json': JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }),
  'storage.conf': `[storage]
driver = "vfs"
graphroot = "${folder}/podman"
runroot = "/run/podman"
`,
  'containers.conf': `[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[network]
network_backend = "cni"
cni_plugin_dirs = ["/opt/cni/bin"]
network_config_dir = "/etc/cni/net.d"
`,
})
