import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { isIP } from 'node:net'
import { Refused } from '../../core/errors.ts'
import type { Endpoint } from '../../gossip/index.ts'
import { readEndpoint, readPort } from '../endpoint.ts'
import { list, type Settings } from '../settings.ts'

/** How this host meets the others. */
export type ClusterSettings = {
  bind: Endpoint
  /** Tunnel end points that others send to: one, or one of each family. */
  vteps: string[]
  vxlanPort: number
  seeds: Endpoint[]
  keys: readonly Buffer[]
  /** The keys come from a file that may not be there at the next start. */
  areBrought?: true
  /** Port where containers' names are answered; undefined when they aren't. */
  dnsPort?: number
}

/** What was asked for is right and isn't there yet: an address that a link may get any moment. */
export class Absent extends Refused {}

/** memberlist's ports are 7946; Docker Swarm has that one. */
const GOSSIP_PORT = 7947

/** Gossip keys that are no setting's: those of a file, and whether some are known from an earlier life. */
export type Brought = { path: string; keys: readonly Buffer[]; areKept: boolean }

/** Refused names the setting that is wrong, and what is allowed; Absent tells what this host doesn't have yet. */
export async function clusterSettings(settings: Settings, brought?: Brought): Promise<ClusterSettings> {
  const seeds = list(settings.join).map(text => readEndpoint('TSNET_JOIN', text, GOSSIP_PORT))
  const keys = gossipKeys(settings, brought)
  const bind = settings.bind ? readEndpoint('TSNET_BIND', settings.bind, GOSSIP_PORT) : await wayOut()
  const vteps = settings.vtep ? list(settings.vtep) : [bind.address]
  const vxlanPort = readPort('TSNET_VXLAN_PORT', settings['vxlan-port'])
  const dns = settings.dns === 'off' ? {} : { dnsPort: readPort('TSNET_DNS', settings.dns) }
  return { bind, vteps: readEnds(vteps), vxlanPort, seeds, ...keys, ...dns }
}

function gossipKeys(settings: Settings, brought?: Brought): Pick<ClusterSettings, 'keys' | 'areBrought'> {
  const said = list(settings.key).map(readKey)
  if (brought) {
    if (said.length + brought.keys.length === 0 && !brought.areKept)
      throw new Absent(`no gossip key has come: ${brought.path} isn't there, or not as it has to be`)
    return { keys: [...brought.keys, ...said], areBrought: true }
  }
  if (said.length === 0)
    throw new Refused(
      'TSNET_JOIN needs TSNET_KEY, the same on every host: `openssl rand -base64 32` makes one; or TSNET_KEY_FILE, a file that has it',
    )
  return { keys: said }
}

/** Refused for what is no key. */
export function readKey(text: string): Buffer {
  const key = Buffer.from(text, 'base64')
  if (
    ![16, 24, 32].includes(key.length) ||
    key.toString('base64').replace(/=+$/, '') !== text.replace(/=+$/, '')
  )
    throw new Refused(
      'a gossip key has to be base64 of 16, 24 or 32 bytes: `openssl rand -base64 32` makes one',
    )
  return key
}

function readEnds(vteps: string[]): string[] {
  const families = vteps.map(isIP)
  if (families.includes(0) || new Set(families).size < vteps.length)
    throw new Refused(
      `TSNET_VTEP can't be "${vteps.join()}": it has to be an address of this host, or one of each family with a comma between them`,
    )
  return vteps
}

/** The address that packets to the rest of the world leave with; connecting a UDP socket sends nothing. */
async function wayOut(): Promise<Endpoint> {
  for (const [family, elsewhere] of [
    ['udp4', '192.0.2.1'],
    ['udp6', '2001:db8::1'],
  ] as const) {
    const address = await sourceTowards(family, elsewhere)
    if (address) return { address, port: GOSSIP_PORT }
  }
  throw new Absent('TSNET_BIND is needed: this host has no default route that would tell its address')
}

async function sourceTowards(family: 'udp4' | 'udp6', elsewhere: string): Promise<string | undefined> {
  const socket = createSocket(family)
  try {
    socket.connect(9, elsewhere)
    await once(socket, 'connect')
    return socket.address().address
  } catch {
    return undefined
  } finally {
    socket.close()
  }
}
