import { engineRoot } from './bed/engines.ts'
import { imageTar } from './bed/image.ts'
import { uml } from './bed/uml.ts'

/**
 * Runs suites of test/docker, those named or else all that can do without nf_tables, in User Mode Linux on a Docker engine there: for kinds
 * of links that this machine's kernel may lack. `GREP` chooses among their scenarios as mocha does.
 */
const suites = process.argv.length > 2 ? process.argv.slice(2) : ['ipvlan', 'vlan']
const grep = process.env.GREP ? `--grep '${process.env.GREP}'` : ''

const settings = Object.entries(process.env)
  .flatMap(([name, value]) => (name.startsWith('TSNET_') ? `${name}='${value}'` : []))
  .join(' ')

/** Those that this kernel doesn't load by itself when they are needed. */
const modules = 'bridge br_netfilter overlay veth macvlan ipvlan 8021q'

/** What the tests write stays in its memory. */
const script = `
  mount -t tmpfs tmpfs /tmp
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  for module in ${modules}; do modprobe $module; done
  ip link set lo up
  export TMPDIR=/tmp NODE_COMPILE_CACHE=/tmp/compiled ${settings} TSNET_ENGINES=20.10
  cd '${process.cwd()}'
  '${process.execPath}' node_modules/mocha/bin/mocha.js ${grep} ${suites.map(name => `test/docker/${name}.test.ts`).join(' ')}`

// There they would be written to a root that is read-only.
await imageTar(await engineRoot('20.10'))
const bed = await uml()
try {
  const print = (text: string) => process.stdout.write(text)
  const { code } = await bed.run(script, { memory: 2048, deadline: 1_800_000, print })
  process.exitCode = code
} catch (error) {
  console.log(`${(error as Error).message}\n0 passed, 1 failed`)
  process.exitCode = 1
} finally {
  await bed.dispose()
}
