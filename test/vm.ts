import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type EngineName, engineRoot } from './bed/engines.ts'
import { imageTar } from './bed/image.ts'
import { kernel } from './bed/kernel.ts'
import { unpacked } from './bed/package.ts'
import { uml } from './bed/uml.ts'

/**
 * Runs suites of test/docker, those named or else those whose kinds of links this machine's kernel may lack, in User Mode Linux on a Docker
 * engine there. With a kernel of our own (test/bed/kernel.ts) all suites can be named, Swarm under IPVS too. `GREP` chooses among their
 * scenarios as mocha does.
 */
const hasOwn = existsSync(kernel)
const suites = process.argv.length > 2 ? process.argv.slice(2) : ['ipvlan', 'vlan']
/** `../kubernetes/services` is another folder's. */
const fileOf = (name: string) => join('test/docker', `${name}.test.ts`)
const engines = process.env.TSNET_ENGINES ?? '20.10'
const grep = process.env.GREP ? `--grep '${process.env.GREP}'` : ''

const settings = Object.entries(process.env)
  .flatMap(([name, value]) => (name.startsWith('TSNET_') ? `${name}='${value}'` : []))
  .join(' ')

/** Those that this kernel doesn't load by itself when they are needed. */
const modules = 'bridge br_netfilter overlay veth macvlan ipvlan 8021q'

/**
 * What the tests write stays in its memory. A network namespace is born with the first one's `ip_forward`, which Docker turns on; its
 * ingress lives by that.
 */
const script = `
  mount -t tmpfs tmpfs /tmp
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  ${hasOwn ? '' : `for module in ${modules}; do modprobe $module; done`}
  ip link set lo up
  echo 1 >/proc/sys/net/ipv4/ip_forward
  export TMPDIR=/tmp NODE_COMPILE_CACHE=/tmp/compiled TEST_PATIENCE=${process.env.TEST_PATIENCE ?? 4} ${settings} TSNET_ENGINES='${engines}'
  cd '${process.cwd()}'
  '${process.execPath}' node_modules/mocha/bin/mocha.js ${grep} ${suites.map(fileOf).join(' ')}`

// There they would be written to a root that is read-only.
for (const engine of engines.split(',')) await imageTar(await engineRoot(engine as EngineName))
await unpacked('docker-registry')
const bed = await uml(hasOwn ? 'own' : 'debian')
try {
  const print = (text: string) => process.stdout.write(text)
  const { code } = await bed.run(script, { memory: 8192, deadline: 3_600_000, print })
  process.exitCode = code
} catch (error) {
  console.log(`${(error as Error).message}\n0 passed, 1 failed`)
  process.exitCode = 1
} finally {
  await bed.dispose()
}
