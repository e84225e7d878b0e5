import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { libraries, loaderOf } from '../../rootfs/debian.ts'
import { attempt, run } from './run.ts'

const tools = ['busybox', 'socat', 'ping', 'iperf3']

/**
 * A tar for `docker import`, made from an engine's own packages: busybox with its applets, socat, iputils' ping, iperf3
 * and the libraries they need. Its command `serve` answers on port 80 by HTTP (`/` is a page, `/cgi-bin/who` tells host
 * name and client address), on 9/udp with host name, client address and the line it got, and on 7/tcp as an echo.
 */
export async function imageTar(root: string): Promise<string> {
  const scripts = createHash('sha256').update(serveScript + cgiScript + datagramScript)
  const tar = join(root, `image-${scripts.digest('hex').slice(0, 8)}.tar`)
  if (existsSync(tar)) return tar
  const tree = await mkdtemp(join(root, 'image.'))
  try {
    await furnish(root, tree)
    await run([
      'tar',
      '--create',
      '--numeric-owner',
      '--owner=0',
      '--group=0',
      '-C',
      tree,
      '-f',
      `${tree}.tar`,
      '.',
    ])
    await rename(`${tree}.tar`, tar)
  } finally {
    await rm(tree, { recursive: true, force: true })
  }
  return tar
}

async function furnish(root: string, tree: string): Promise<void> {
  for (const folder of ['bin', 'etc', 'lib64', 'proc', 'sys', 'dev', 'run', 'tmp', 'www/cgi-bin'])
    await mkdir(join(tree, folder), { recursive: true })
  for (const file of await withLibraries(root)) {
    const inside = file.slice(join(root, 'usr').length)
    await mkdir(dirname(join(tree, inside)), { recursive: true })
    await cp(file, join(tree, inside), { dereference: true })
  }
  await linkApplets(root, tree)
  await writeFile(join(tree, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\n')
  await writeFile(join(tree, 'etc/group'), 'root:x:0:\n')
  await writeFile(join(tree, 'bin/serve'), serveScript, { mode: 0o755 })
  await writeFile(join(tree, 'bin/who-am-i'), datagramScript, { mode: 0o755 })
  await writeFile(join(tree, 'www/index.html'), 'it works\n')
  await writeFile(join(tree, 'www/cgi-bin/who'), cgiScript, { mode: 0o755 })
}

// An empty datagram, which some clients send at their end, must not keep a server waiting for its line.
// Process 1 gets no default handlers from the kernel: without the trap each stop would take Docker's ten seconds.
const serveScript = `#!/bin/sh
trap 'exit 0' TERM
httpd -h /www
socat UDP6-RECVFROM:9,ipv6only=0,fork,null-eof EXEC:/bin/who-am-i &
socat TCP6-LISTEN:7,ipv6only=0,reuseaddr,fork EXEC:cat &
sleep 99999999 &
wait
`

const cgiScript = `#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n%s %s\\n' "$(hostname)" "$REMOTE_ADDR"
`

const datagramScript = `#!/bin/sh
read line
echo "$(hostname) $SOCAT_PEERADDR $line"
`

/** The tools and all shared objects that they need. */
async function withLibraries(root: string): Promise<string[]> {
  const programs = tools.map(tool => join(root, 'usr/bin', tool))
  const { loader } = await loaderOf(root)
  const needed = await Promise.all(programs.map(program => libraries(root, program)))
  return [...new Set([loader, ...programs, ...needed.flat()])]
}

async function linkApplets(root: string, tree: string): Promise<void> {
  const { loader, folder } = await loaderOf(root)
  const busybox = join(root, 'usr/bin/busybox')
  const { stdout } = await attempt([loader, '--library-path', folder, busybox, '--list'])
  for (const applet of stdout.split('\n').filter(Boolean)) {
    const path = join(tree, 'bin', applet)
    if (!existsSync(path)) await symlink('busybox', path)
  }
}
