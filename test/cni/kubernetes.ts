import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { netnsPath, onExit, ownFolder } from '../bed/namespace.ts'
import { run } from '../bed/run.ts'

/** Where the API server is, as a pod is told. */
const HOST = '10.77.1.254'
const PORT = '6443'
const ACCOUNT = '/run/secrets/kubernetes.io/serviceaccount'
const folders = [ACCOUNT, resolve(ACCOUNT, '..'), resolve(ACCOUNT, '../..')]

/** What Kubernetes tells a node's pods of, without Kubernetes: an API server that knows podCIDRs, and a service account. */
export class Kubernetes {
  readonly #folder = ownFolder('cni-kubernetes')
  readonly #namespace: string
  readonly #forget: () => void
  #server: ChildProcess | undefined
  /** Folders that weren't there. */
  #made: string[] = []

  /** @param namespace of the machine that the API server runs on, which has the address 10.77.1.254 */
  constructor(namespace: string) {
    this.#namespace = namespace
    this.#forget = onExit(() => this.#clear())
  }

  static readonly env = { KUBERNETES_SERVICE_HOST: HOST, KUBERNETES_SERVICE_PORT: PORT }

  /** What a daemon is started by that is to find the account. */
  get within(): string[] {
    const script = `mount --bind "$0" ${ACCOUNT} && exec "$@"`
    return ['unshare', '--mount', '--propagation', 'slave', 'sh', '-c', script, this.#folder]
  }

  async start(): Promise<void> {
    mkdirSync(this.#folder, { recursive: true })
    this.#made = folders.filter(each => !existsSync(each))
    mkdirSync(ACCOUNT, { recursive: true })
    const names = ['-subj', '/CN=api', '-addext', `subjectAltName=IP:${HOST}`]
    const files = ['-keyout', this.#path('key'), '-out', this.#path('ca.crt')]
    await run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...names, ...files])
    writeFileSync(this.#path('token'), 'secret\n')
    await this.serve()
  }

  async serve(): Promise<void> {
    const program = [process.execPath, join(import.meta.dirname, 'apiserver.ts'), this.#folder, PORT]
    const argv = ['--pdeathsig=KILL', 'nsenter', `--net=${netnsPath(this.#namespace)}`, ...program]
    this.#server = spawn('setpriv', argv, { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(this.#server.stdout as NodeJS.ReadableStream, 'data')
  }

  /** The API server is gone. */
  async fail(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (!server) return
    server.kill('SIGKILL')
    await once(server, 'exit')
  }

  /** What Kubernetes sets aside for a Node. */
  give(node: string, ...podCidrs: string[]): void {
    writeFileSync(this.#path('new'), JSON.stringify(podCidrs))
    renameSync(this.#path('new'), this.#path(`${node}.json`))
  }

  forget(node: string): void {
    rmSync(this.#path(`${node}.json`))
  }

  async dispose(): Promise<void> {
    await this.fail()
    this.#clear()
    this.#forget()
  }

  #clear(): void {
    rmSync(this.#folder, { recursive: true, force: true })
    for (const each of this.#made.splice(0)) rmdirSync(each)
  }

  #path = (name: string) => join(this.#folder, name)
}
