import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { image as pause } from '../cni/containerd.ts'
import { type Control, kubelet } from './control.ts'
import { install, type Machine } from './machine.ts'
import { dnsOf } from './plan.ts'

const containerd = '/run/containerd/containerd.sock'

/** Makes a machine a node of a cluster: containerd, kubelet. `archives` are images that it has. */
export async function serveNode(
  machine: Machine,
  control: Control,
  archives: readonly string[],
): Promise<void> {
  await mkdir(machine.path('/opt/cni/bin'), { recursive: true })
  await install('/usr/lib/cni/loopback', machine, '/opt/cni/bin/loopback')
  await serveContainerd(machine, archives)
  await serveKubelet(machine, control)
}

async function serveContainerd(machine: Machine, archives: readonly string[]): Promise<void> {
  const config = join(machine.folder, 'containerd.toml')
  await writeFile(config, containerdConfig)
  await machine.serve({
    argv: ['containerd', '--config', config],
    ready: async () => (await machine.attempt(['ctr', 'version'])).code === 0,
  })
  for (const archive of archives) await machine.run('ctr', '-n', 'k8s.io', 'images', 'import', archive)
}

// In a container of somebody's, root may not take points off its own oom_score.
const containerdConfig = `version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "${pause}"
restrict_oom_score_adj = true
`

async function serveKubelet(machine: Machine, control: Control): Promise<void> {
  const config = join(machine.folder, 'kubelet.json')
  await writeFile(config, JSON.stringify(kubeletConfig(machine)))
  await machine.serve({
    argv: [
      'kubelet',
      `--config=${config}`,
      `--kubeconfig=${control.pathOf(kubelet(machine.name))}`,
      `--hostname-override=${machine.name}`,
      `--node-ip=${machine.addresses}`,
    ],
    ready: machine.answers(10248),
  })
}

const kubeletConfig = ({ namespace, plan }: Machine) => ({
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  kind: 'KubeletConfiguration',
  containerRuntimeEndpoint: `unix://${containerd}`,
  authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
  authorization: { mode: 'AlwaysAllow' },
  cgroupDriver: 'cgroupfs',
  cgroupRoot: `/${namespace}`,
  enforceNodeAllocatable: ['pods'],
  failSwapOn: false,
  evictionHard: { 'memory.available': '10Mi', 'nodefs.available': '1%', 'imagefs.available': '1%' },
  imageGCHighThresholdPercent: 100,
  clusterDNS: [dnsOf(plan)],
  clusterDomain: 'cluster.local',
})
