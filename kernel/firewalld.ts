import { execFile } from 'node:child_process'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/**
 * firewalld rejects what it forwards between zones unless a policy lets it, in a chain behind ours. A zone of our bridges
 * and a policy into it leave them to us, as Docker's zone `docker` does for its own. `+` is firewalld's wildcard.
 */
const FILES = {
  'zones/tsnet.xml': `<?xml version="1.0" encoding="utf-8"?>
<zone target="ACCEPT">
  <short>tsnet</short>
  <description>Bridges of tsnet, which filters them in its own nft table.</description>
  <interface name="tsb-+"/>
</zone>
`,
  'policies/tsnet-forwarding.xml': `<?xml version="1.0" encoding="utf-8"?>
<policy target="ACCEPT">
  <short>tsnet forwarding</short>
  <description>What tsnet lets into its bridges.</description>
  <ingress-zone name="ANY"/>
  <egress-zone name="tsnet"/>
</policy>
`,
}

/** Of firewalld's own exit codes, the one of `--state` when it isn't running. */
const NOT_RUNNING = 252

/**
 * Makes firewalld leave our bridges to us, now and when it starts again; reloads it when that is news to it. Does nothing
 * where `folder` isn't there, which is where firewalld isn't installed. Answers whether anything was written.
 */
export async function befriendFirewalld(folder = '/etc/firewalld'): Promise<boolean> {
  if (!(await stat(folder).catch(() => undefined))) return false
  const written = await Promise.all(
    Object.entries(FILES).map(([name, text]) => write(join(folder, name), text)),
  )
  if (!written.includes(true)) return false
  await reload()
  return true
}

async function write(path: string, text: string): Promise<boolean> {
  const there = await readFile(path, 'utf8').catch(() => undefined)
  // An administrator's own version stands: bridges under names of the user's choice are added to it.
  if (there !== undefined) return false
  await mkdir(join(path, '..'), { recursive: true })
  await writeFile(path, text)
  return true
}

async function reload(): Promise<void> {
  try {
    await run('firewall-cmd', ['--state'])
  } catch (error) {
    const { code } = error as { code?: unknown }
    if (code === NOT_RUNNING || code === 'ENOENT') return
    throw error
  }
  await run('firewall-cmd', ['--reload'])
}
