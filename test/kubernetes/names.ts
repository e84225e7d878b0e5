import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { netnsPath, onExit } from '../bed/namespace.ts'
import { attempt } from '../bed/run.ts'
import { until } from '../bed/until.ts'

/** A server of names of the rest of the world, Debian's dnsmasq, in a namespace. */
export class NameServer {
  readonly #child: ChildProcess
  readonly #release: () => void

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#release = onExit(() => child.kill('SIGKILL'))
  }

  /** `records` are names with all of their addresses. */
  static async start(
    namespace: string,
    address: string,
    records: Record<string, readonly string[]>,
  ): Promise<NameServer> {
    const inside = ['nsenter', `--net=${netnsPath(namespace)}`]
    const argv = [
      ...[
        'dnsmasq',
        '--keep-in-foreground',
        '--conf-file=/dev/null',
        '--no-resolv',
        '--no-hosts',
        '--user=root',
      ],
      ...['--pid-file', '--log-facility=/dev/null', '--bind-interfaces', `--listen-address=${address}`],
      ...Object.entries(records).map(([name, addresses]) => `--host-record=${[name, ...addresses].join()}`),
    ]
    const child = spawn('setpriv', ['--pdeathsig=KILL', ...inside, ...argv], { stdio: 'ignore' })
    const server = new NameServer(child)
    await until('the name server to serve', async () => {
      if (child.exitCode !== null) throw new Error(`dnsmasq ended with ${child.exitCode}`)
      const open = ['bash', '-c', `exec 3<>/dev/tcp/${address}/53`]
      return (await attempt([...inside, ...open])).code === 0
    })
    return server
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM')
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit')
    this.#release()
  }
}
