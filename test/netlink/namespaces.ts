import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import * as nl from '@tsnet/netlink'

/** Two throw-away namespaces and a socket of each protocol in the first. */
const name = `ts-test-nl-${process.pid}`
export const namespace = `/run/netns/${name}`
export const otherNamespace = `${namespace}-b`
export let route: nl.Socket
export let nft: nl.Socket

/** Makes them before the tests of a describe, and takes them away after. */
export function useNamespaces(): void {
  before(() => {
    for (const each of [name, `${name}-b`]) execFileSync('ip', ['netns', 'add', each])
    route = nl.open({ protocol: 'route', namespace })
    nft = nl.open({ protocol: 'netfilter', namespace })
  })

  after(() => {
    route?.close()
    nft?.close()
    for (const each of [name, `${name}-b`]) execFileSync('ip', ['netns', 'del', each])
  })
}

/** Output of a command that runs in the first namespace. */
export const run = (command: string, ...words: string[]): string =>
  execFileSync('ip', ['netns', 'exec', name, command, ...words], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  })

export const index = (link: string): number => route.request(nl.getLink({ name: link })).index
export const refused = (request: nl.Request<unknown>): nl.NetlinkError => {
  const [outcome] = route.batch([request])
  assert.ok(outcome instanceof nl.NetlinkError, 'the kernel took it')
  return outcome
}
export const bridge = (link: string): number => {
  route.request(nl.newLink({ name: link, kind: 'bridge', up: true }))
  return index(link)
}

/** The code of an outcome that is an error. */
export const code = (outcome: unknown): string | undefined =>
  outcome instanceof nl.NetlinkError ? outcome.code : undefined

/** A worker that runs this module; in a data: URL it has no folder to find packages from. */
export const moduleUrl = (source: string): URL =>
  new URL(
    `data:text/javascript,${encodeURIComponent(source.replaceAll('@tsnet/netlink', import.meta.resolve('@tsnet/netlink')))}`,
  )
