import { bpf } from '@tsnet/netlink'
import { NUMBER, TUNNEL } from './shortcutprogram.ts'

/** Name of our map, and the first word of our filters' names. */
export const NAME = 'tsnet'
/** Containers of all networks, here and elsewhere: two megabytes of empty buckets. One too many is reached by way of the bridge. */
const CONTAINERS = 131_072
const [KEY_SIZE, VALUE_SIZE] = [12, 4]

/** Where frames for a MAC of a bridge go: to the container behind a link, or into a tunnel. */
export type Entry = { bridge: number; mac: string; index: number; tunnel: boolean }

/** The bridge's number, the MAC, two bytes of nothing: eight bytes aligned, as the program writes it. */
function keyOf(bridge: number, mac: string): Buffer {
  const key = Buffer.alloc(KEY_SIZE)
  key.writeUInt32LE(bridge)
  key.write(mac.replaceAll(':', ''), 4, 6, 'hex')
  return key
}

const macOf = (key: Buffer) => (key.toString('hex', 4, 10).match(/../g) as string[]).join(':')

function leadsTo(index: number, tunnel: boolean): Buffer {
  const value = Buffer.alloc(VALUE_SIZE)
  value.writeUInt32LE(tunnel ? index | TUNNEL : index)
  return value
}

function entryOf(key: Buffer, value: Buffer): Entry {
  const number = value.readUInt32LE()
  return {
    bridge: key.readUInt32LE(),
    mac: macOf(key),
    index: number & NUMBER,
    tunnel: (number & TUNNEL) !== 0,
  }
}

/** Bridge, MAC → link: what the program of the shortcuts looks into. */
export class ShortcutMap implements Disposable {
  readonly #map: bpf.BpfMap

  constructor(map?: bpf.BpfMap) {
    this.#map =
      map ??
      bpf.BpfMap.create({ name: NAME, keySize: KEY_SIZE, valueSize: VALUE_SIZE, maxEntries: CONTAINERS })
  }

  get fd(): number {
    return this.#map.fd
  }

  get id(): number {
    return this.#map.id
  }

  *entries(): Generator<Entry> {
    for (const { key, value } of this.#map.entries()) yield entryOf(key, value)
  }

  at(bridge: number, mac: string): Entry | undefined {
    const key = keyOf(bridge, mac)
    const value = this.#map.get(key)
    return value && entryOf(key, value)
  }

  lead({ bridge, mac, index, tunnel }: Entry): void {
    this.#map.set(keyOf(bridge, mac), leadsTo(index, tunnel))
  }

  /** All of these MACs into one tunnel. */
  leadInto(bridge: number, index: number, macs: readonly string[]): void {
    if (macs.length === 0) return
    const value = leadsTo(index, true)
    this.#map.setAll(Buffer.concat(macs.map(mac => keyOf(bridge, mac))), Buffer.concat(macs.map(() => value)))
  }

  /** Those that lead elsewhere by now stay. */
  drop(bridge: number, index: number, macs: readonly string[]): void {
    const ours = macs.filter(mac => this.at(bridge, mac)?.index === index)
    if (ours.length > 0) this.#map.deleteAll(Buffer.concat(ours.map(mac => keyOf(bridge, mac))))
  }

  [Symbol.dispose](): void {
    this.#map[Symbol.dispose]()
  }
}
