import { existsSync } from 'node:fs'
import { type Control, proxy } from './control.ts'
import type { Machine } from './machine.ts'
import { podsOf } from './plan.ts'

/** How kube-proxy leads packets to pods of a service. */
export const proxyModes = ['iptables', 'nftables', 'ipvs'] as const
export type ProxyMode = (typeof proxyModes)[number]

/** What is missing here for a mode; undefined when it can be had. */
export function missing(mode: ProxyMode): string | undefined {
  if (mode !== 'ipvs') return undefined
  return existsSync('/proc/net/ip_vs') ? undefined : 'the kernel has no ip_vs'
}

/** Makes kube-proxy serve on a node, in place of one that does. */
export async function serveProxy(machine: Machine, control: Control, mode: ProxyMode): Promise<void> {
  await machine.stop('kube-proxy')
  await machine.serve({
    argv: [
      'kube-proxy',
      `--kubeconfig=${control.pathOf(proxy)}`,
      `--hostname-override=${machine.name}`,
      `--cluster-cidr=${podsOf(machine.plan)}`,
      `--proxy-mode=${mode}`,
      // Limits of connection tracking are the whole machine's.
      '--conntrack-max-per-core=0',
      '--conntrack-tcp-timeout-established=0',
      '--conntrack-tcp-timeout-close-wait=0',
    ],
    ready: machine.answers(10256),
  })
}
