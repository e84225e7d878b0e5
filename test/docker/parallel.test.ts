import assert from 'node:assert/strict'
import Docker from 'dockerode'
import { image } from '../bed/host.ts'
import { changes, snapshot } from '../bed/snapshot.ts'
import { eventually } from '../bed/until.ts'
import { type Bed, driver, onDocker } from './support.ts'

/** 200 are promised, and take a minute. */
const COUNT = Number(process.env.TSNET_CONTAINERS ?? 40)

onDocker('in parallel', bed => {
  describe(`${COUNT} containers`, function () {
    this.timeout(1_800_000)

    bed.it('start at once, each with what is its own, and leave nothing', async () => {
      await bed.network('n', { subnets: ['10.77.0.0/22'], ipam: driver === 'tsnet' ? 'tsnet' : 'default' })
      const before = await snapshot(bed.host)
      const names = Array.from({ length: COUNT }, (_, index) => `box${index}`)
      const docker = new Docker({ socketPath: bed.host.path('/run/docker.sock') })

      const containers = await Promise.all(names.map(name => docker.createContainer(creation(name))))
      await Promise.all(containers.map(container => container.start()))

      const addresses = await distinct(docker)
      if (driver === 'tsnet') assert.deepEqual(await answers(bed), expected(addresses, bed.outside.ipv4))

      await Promise.all(containers.map(container => container.remove({ force: true })))
      await eventually(async () => {
        assert.deepEqual(changes(before, await snapshot(bed.host)), [], 'they left something behind')
      }, 60_000)
      // Its count of a network's endpoints goes up twice where two of them begin at once (atomicIncDecEpCnt); a start counts anew.
      if (bed.engine === '20.10') await bed.host.restart(bed.host.dockerd)
    })
  })
})

/** One small process, which answers by HTTP, at a host port of tsnet's choice. */
const creation = (name: string): Docker.ContainerCreateOptions => ({
  name,
  Hostname: name,
  Image: image,
  Cmd: ['httpd', '-f', '-h', '/www'],
  ExposedPorts: { '80/tcp': {} },
  HostConfig: { NetworkMode: 'n', PortBindings: { '80/tcp': [{ HostPort: '' }] } },
})

/** Names and addresses of all containers, of which no two have an address or a MAC in common. */
async function distinct(docker: Docker): Promise<Map<string, string>> {
  const { Containers } = await docker.getNetwork('n').inspect()
  const found = Object.values(Containers ?? {})
  const different = (of: (each: (typeof found)[number]) => string) => new Set(found.map(of)).size
  assert.deepEqual(
    [different(each => each.Name), different(each => each.IPv4Address), different(each => each.MacAddress)],
    [COUNT, COUNT, COUNT],
    'names, addresses and MACs',
  )
  return new Map(found.map(each => [each.Name, each.IPv4Address.split('/')[0] ?? '']))
}

/** `ADDRESS NAME CLIENT`: what is published at each port, and who answers there when asked from outside. */
async function answers(bed: Bed): Promise<string[]> {
  const { nftables } = JSON.parse(await bed.host.exec('nft', '-j', 'list', 'map', 'inet', 'tsnet', 'any4'))
  const elements: Published[] = nftables.find((each: { map?: object }) => each.map).map.elem
  const ports = elements.map(([{ concat: outer }, { concat: inner }]) => `${outer[1]} ${inner[0]}`)
  const ask = `while read port address
    do echo "$address $(busybox wget -qO- http://${bed.ipv4}:$port/cgi-bin/who)"; done`
  const { stdout } = await bed.outside.attempt(['timeout', '120', 'sh', '-c', ask], {
    input: `${ports.join('\n')}\n`,
    deadline: 130_000,
  })
  return stdout.replaceAll('[::ffff:', '').replaceAll(']', '').trim().split('\n').sort()
}

/** An element of the map as nft prints it: `proto . port : address . port`. */
type Published = [{ concat: [string, number] }, { concat: [string, number] }]

const expected = (addresses: Map<string, string>, client: string) =>
  [...addresses].map(([name, address]) => `${address} ${name} ${client}`).sort()
