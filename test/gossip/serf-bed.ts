import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { addNamespace, deleteNamespace, inNamespace, netnsPath, onExit, ownName } from '../bed/namespace.ts'
import type { Calls } from './nodes.ts'

const execute = promisify(execFile)

export function demandSerf(): void {
  const { error } = spawnSync('serf', ['version'])
  assert.ok(!error, "The command 'serf' is missing: install the Debian package 'serf'.")
}

type Answer = { id: number; result?: unknown; error?: string }
type Serf = { process: ChildProcess; rpc: string; log: () => string }

/** A network namespace in which real serf agents and our nodes live on loopback addresses. */
export class SerfBed {
  readonly name = ownName('gossip')
  readonly #serfs = new Map<string, Serf>()
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #nodes: ChildProcess | undefined
  #calls = 0
  #forget = () => {}

  async open(): Promise<void> {
    await addNamespace(this.name)
    this.#forget = onExit(() => this.#killAll())
    const nodes = this.#spawn([process.execPath, new URL('nodes.ts', import.meta.url).pathname], true)
    this.#nodes = nodes
    nodes.on('message', (answer: Answer) => {
      this.#waiting.get(answer.id)?.(answer)
      this.#waiting.delete(answer.id)
    })
    nodes.once('exit', () => {
      for (const [id, done] of this.#waiting) done({ id, error: 'our nodes have ended' })
    })
    await Promise.race([
      once(nodes, 'message'),
      once(nodes, 'exit').then(() => assert.fail('our nodes did not start')),
    ])
  }

  async close(): Promise<void> {
    this.#killAll()
    this.#forget()
    await deleteNamespace(this.name)
  }

  /** Calls one of our nodes. */
  call<C extends keyof Calls>(
    call: C,
    ...args: Parameters<Calls[C]>
  ): Promise<Awaited<ReturnType<Calls[C]>>> {
    const id = ++this.#calls
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ result, error }) =>
        error ? reject(new Error(error)) : resolve(result as Awaited<ReturnType<Calls[C]>>),
      )
      this.#nodes?.send({ id, call, args })
    })
  }

  /** Starts a serf agent, and waits until it serves. */
  async serf(name: string, address: string, ...options: string[]): Promise<void> {
    const rpc = `${address}:7373`
    const argv = [
      'serf',
      'agent',
      `-node=${name}`,
      `-bind=${address}:7946`,
      `-rpc-addr=${rpc}`,
      '-log-level=debug',
    ]
    const child = this.#spawn([...argv, ...options], false)
    let log = ''
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', text => (log += text))
    this.#serfs.set(name, { process: child, rpc, log: () => log })
    await until(
      `${name} serves`,
      () => log.includes('Serf agent running'),
      () => log,
    )
  }

  log = (name: string): string => this.#serf(name).log()

  signal(name: string, signal: NodeJS.Signals): void {
    this.#serf(name).process.kill(signal)
  }

  /** The process of all our nodes. */
  signalNodes(signal: NodeJS.Signals): void {
    this.#nodes?.kill(signal)
  }

  /** A serf command, asked of one agent. */
  async command(name: string, command: string, ...args: string[]): Promise<string> {
    const argv = ['serf', command, `-rpc-addr=${this.#serf(name).rpc}`, ...args]
    const { stdout } = await execute('nsenter', [`--net=${netnsPath(this.name)}`, ...argv])
    return stdout
  }

  /** As `call('members')`, but of a serf agent. */
  async members(name: string): Promise<string[]> {
    const { members } = JSON.parse(await this.command(name, 'members', '-format=json')) as {
      members: { name: string; status: string; tags: Record<string, string> }[]
    }
    return members.map(member => [member.name, member.status, JSON.stringify(member.tags)].join(' ')).sort()
  }

  /** Drops what goes between two groups of addresses; without arguments, nothing any more. */
  async partition(left: string[] = [], right: string[] = []): Promise<void> {
    await inNamespace(this.name, 'nft', 'flush ruleset')
    if (left.length === 0) return
    const [a, b] = [left.join(','), right.join(',')]
    await inNamespace(
      this.name,
      'nft',
      `table ip cut { chain input { type filter hook input priority 0; ip saddr {${a}} ip daddr {${b}} drop; ip saddr {${b}} ip daddr {${a}} drop; }; }`,
    )
  }

  #serf(name: string): Serf {
    const serf = this.#serfs.get(name)
    assert.ok(serf, `${name} was not started`)
    return serf
  }

  #spawn(argv: string[], ipc: boolean): ChildProcess {
    return spawn('nsenter', [`--net=${netnsPath(this.name)}`, ...argv], {
      stdio: ipc ? ['ignore', 'inherit', 'inherit', 'ipc'] : ['ignore', 'pipe', 'pipe'],
    })
  }

  #killAll(): void {
    for (const { process } of this.#serfs.values()) process.kill('SIGKILL')
    this.#nodes?.kill('SIGKILL')
  }
}

/** A death that nobody confirms takes half a minute to be declared, and more on a machine that stands still at times. */
const patience = 100_000

/** Waits for a condition; says what was there instead if it doesn't come. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  instead: () => unknown = () => '',
): Promise<void> {
  const end = performance.now() + patience
  while (!(await holds())) {
    if (performance.now() > end)
      assert.fail(`not in time: ${what}; instead: ${JSON.stringify(await instead())}`)
    await new Promise(done => setTimeout(done, 100))
  }
}
