import {
  type ChainRow,
  type ElementRow,
  EVERYBODY,
  type LinkRow,
  type RateRow,
  type Row,
  type SetRow,
  type ShortcutRow,
} from '../../../core/rows.ts'

/** Rows that the kernel's contract is tried with. */

export const bridge: LinkRow = { kind: 'link', name: 'tsb-1', type: 'bridge', up: true, mtu: 1400 }
export const port: LinkRow = {
  kind: 'link',
  name: 'tsv-1',
  type: 'veth',
  up: true,
  mtu: 1400,
  master: 'tsb-1',
  hairpin: true,
  isolated: false,
  peer: { name: 'tsc-1', mac: '02:42:0a:4d:00:02', mtu: 1400 },
}
export const { peer: _, ...portPresent } = port
export const gateway: Row = { kind: 'address', link: 'tsb-1', address: '10.77.0.1/24' }
export const gateway6: Row = { kind: 'address', link: 'tsb-1', address: 'fd00:77::1/64' }
export const localnet: Row = { kind: 'sysctl', key: 'net/ipv4/conf/tsb-1/route_localnet', value: '1' }
export const bridges: SetRow = { kind: 'set', name: 'bridges', type: ['ifname'] }
export const ports: SetRow = {
  kind: 'set',
  name: 'ports4',
  type: ['ipv4_addr', 'inet_proto', 'inet_service'],
  value: ['ipv4_addr', 'inet_service'],
}
export const masq: SetRow = { kind: 'set', name: 'masq4', type: ['ipv4_addr'], interval: true }
export const subnets: SetRow = {
  kind: 'set',
  name: 'subnets6',
  type: ['ipv6_addr', 'ifname'],
  interval: true,
}
export const ingress: SetRow = { kind: 'set', name: 'ingress', type: ['ifname'], value: 'verdict' }
export const open: ChainRow = {
  kind: 'chain',
  name: 'open',
  rules: ['ct state established,related accept', 'drop'],
}
export const forward: ChainRow = {
  kind: 'chain',
  name: 'forward',
  hook: 'type filter hook forward priority filter - 5',
  rules: ['iifname @bridges accept', 'oifname vmap @ingress', 'ip daddr 10.9.9.9 jump open'],
}
export const tunnel: LinkRow = {
  kind: 'link',
  name: 'tsx-1',
  type: 'vxlan',
  up: true,
  mtu: 1400,
  vni: 4711,
  udpPort: 4790,
  local: '10.9.0.1',
  inheritDf: true,
  master: 'tsb-1',
  isolated: true,
  suppress: true,
  learning: false,
  locked: true,
  flood: false,
}
export const tunnel6: LinkRow = { ...tunnel, name: 'tsy-1', local: 'fd09::1' }
export const vnis: SetRow = { kind: 'set', name: 'vnis', type: ['inet_service', 'vni'] }
export const far: Row = { kind: 'fdb', link: 'tsx-1', mac: '02:42:0a:4d:00:05', to: '10.9.0.7' }
export const far6: Row = { kind: 'fdb', link: 'tsy-1', mac: '02:42:0a:4d:00:06', to: 'fd09::7' }
export const everybody = (to: string): Row => ({ kind: 'fdb', link: 'tsx-1', mac: EVERYBODY, to })
export const near: Row = { kind: 'neighbour', link: 'tsb-1', address: '10.77.0.5', mac: '02:42:0a:4d:00:05' }
export const near6: Row = {
  kind: 'neighbour',
  link: 'tsb-1',
  address: 'fd00:77::5',
  mac: '02:42:0a:4d:00:05',
}
export const element = (set: string, key: string[], value?: string[]): ElementRow =>
  value ? { kind: 'element', set, key, value } : { kind: 'element', set, key }

export const shortcut: ShortcutRow = {
  kind: 'shortcut',
  link: 'tsv-1',
  bridge: 'tsb-1',
  mac: '02:42:0a:4d:00:02',
}

export const rate: RateRow = { kind: 'rate', link: 'tsv-1', rate: 6_250_000, burst: 125_000 }

export const ground: Row[] = [bridges, ports, masq, subnets, ingress, open, forward]
