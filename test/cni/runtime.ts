import { spawn } from 'node:child_process'
import { join } from 'node:path'
import type { Sandbox } from './node.ts'

export type Config = Record<string, unknown>
export type Answer = { code: number; stdout: string; json: Result & CniError; ms: number }
export type Result = {
  cniVersion: string
  interfaces: { name: string; mac?: string; sandbox?: string }[]
  ips: { address: string; gateway?: string; interface?: number; version?: string }[]
  routes?: { dst: string; gw?: string }[]
  dns?: object
}
export type CniError = { code?: number; msg?: string; details?: string; supportedVersions?: string[] }

/** A plugin as a runtime sees it: a program that is given an environment and a configuration. */
export class Plugin {
  readonly path: string
  readonly config: Config
  /** Namespace of the host that it works on. */
  readonly host: string
  readonly env: Record<string, string>

  constructor(path: string, config: Config, host: string, env: Record<string, string> = {}) {
    this.path = path
    this.config = config
    this.host = host
    this.env = env
  }

  with(more: Config): Plugin {
    return new Plugin(this.path, { ...this.config, ...more }, this.host, this.env)
  }

  add(sandbox: Sandbox, env: Record<string, string> = {}): Promise<Answer> {
    return this.call('ADD', { ...subject(sandbox), ...env })
  }

  del(sandbox: Sandbox, env: Record<string, string> = {}, prevResult?: object): Promise<Answer> {
    return this.call('DEL', { ...subject(sandbox), ...env }, prevResult ? { prevResult } : {})
  }

  check(sandbox: Sandbox, prevResult: object): Promise<Answer> {
    return this.call('CHECK', subject(sandbox), { prevResult })
  }

  call(command: string, env: Record<string, string> = {}, more: Config = {}): Promise<Answer> {
    return this.raw(command, env, JSON.stringify({ ...this.config, ...more }))
  }

  raw(command: string, env: Record<string, string>, stdin: string): Promise<Answer> {
    const begin = performance.now()
    const child = spawn('nsenter', [`--net=/run/netns/${this.host}`, this.path], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: {
        PATH: process.env.PATH,
        CNI_PATH: join(this.path, '..'),
        CNI_COMMAND: command,
        ...this.env,
        ...env,
      },
    })
    child.stdin.on('error', () => undefined).end(stdin)
    let stdout = ''
    child.stdout.setEncoding('utf8').on('data', text => {
      stdout += text
    })
    return new Promise((done, fail) => {
      child.on('error', fail)
      child.on('close', code => {
        const json = stdout.trim() === '' ? {} : JSON.parse(stdout)
        done({ code: code ?? 137, stdout, json, ms: performance.now() - begin })
      })
    })
  }
}

export const subject = ({ id, path }: Sandbox, ifname = 'eth0'): Record<string, string> => ({
  CNI_CONTAINERID: id,
  CNI_NETNS: path,
  CNI_IFNAME: ifname,
})
