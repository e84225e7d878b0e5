import { type AttributeSet, attribute, attributes, type Table, type ValuesOf } from '../attributes.ts'
import { bare, type Codec, raw } from '../codec.ts'
import { bridgePortSet, bridgeSet } from './bridge.ts'
import { ipvlanSet, macvlanSet, vethSet, vlanSet, vxlanSet } from './kinds.ts'

/** Kinds whose own settings are known here. */
const kinds = {
  bridge: bridgeSet,
  veth: vethSet,
  macvlan: macvlanSet,
  ipvlan: ipvlanSet,
  vlan: vlanSet,
  vxlan: vxlanSet,
}

/** Kinds that are made without settings of their own. */
const plainKinds = ['dummy', 'ifb'] as const

type Kinds = typeof kinds
type SetOf<S> = S extends AttributeSet<infer T> ? ValuesOf<T> : never
export type LinkKind =
  | { [K in keyof Kinds]: { kind: K; data?: SetOf<Kinds[K]> } }[keyof Kinds]
  | { kind: (typeof plainKinds)[number]; data?: never }
export type LinkPort = SetOf<typeof bridgePortSet>

/** The data attributes stay raw at first: what they mean hangs on the kind beside them. */
export const linkInfoSet = attributes({
  kind: attribute(1, 'IFLA_INFO_KIND', bare),
  data: attribute(2, 'IFLA_INFO_DATA', raw),
  slaveKind: attribute(4, 'IFLA_INFO_SLAVE_KIND', bare),
  slaveData: attribute(5, 'IFLA_INFO_SLAVE_DATA', raw),
})
const writing = (data: Codec<unknown>): Codec<object> =>
  attributes({
    ...linkInfoSet.table,
    data: attribute(2, 'IFLA_INFO_DATA', data),
    slaveData: attribute(5, 'IFLA_INFO_SLAVE_DATA', bridgePortSet),
  })

const known = (kind: string): kind is keyof Kinds => Object.hasOwn(kinds, kind)
const writers = new Map<string, Codec<object>>(
  Object.entries(kinds).map(([kind, set]) => [kind, writing(set)]),
)
const plain = writing(raw)

export type LinkInfo = (
  | LinkKind
  | { kind: 'other'; other: string; data?: never }
  | { kind?: never; data?: never }
) & {
  port?: LinkPort
}

function present(values: Record<string, unknown>): object {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
}

/** IFLA_LINKINFO: a link's kind with that kind's settings, and its settings as a bridge's port. */
export const linkInfo: Codec<LinkInfo> = {
  write(out, { kind, data, port }) {
    const slave = port && { slaveKind: 'bridge', slaveData: port }
    const writer = (kind && writers.get(kind)) || plain
    writer.write(out, present({ kind, data, ...slave }))
  },
  read(bytes, from, to) {
    const { kind, data, slaveKind, slaveData } = linkInfoSet.read(bytes, from, to)
    const port = slaveKind === 'bridge' && slaveData ? { port: whole(bridgePortSet, slaveData) } : {}
    if (!kind) return port
    if (known(kind))
      return (
        data ? { kind, data: whole(kinds[kind] as AttributeSet<Table>, data), ...port } : { kind, ...port }
      ) as LinkInfo
    return (plainKinds as readonly string[]).includes(kind)
      ? ({ kind, ...port } as LinkInfo)
      : { kind: 'other', other: kind, ...port }
  },
}

const whole = <T extends Table>(set: AttributeSet<T>, bytes: Buffer): ValuesOf<T> =>
  set.read(bytes, 0, bytes.length)
