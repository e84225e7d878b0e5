import { bindPort } from '@tsnet/netlink'
import { decode, encode, RECURSION_DESIRED } from 'dns-packet'
import { datagram } from '../../names/relay.ts'

/** Where Docker answers in each container's namespace. */
const DOCKER = { server: '127.0.0.11', port: 53 }
/** Milliseconds: what Docker knows itself it answers at once. What it doesn't know it asks others, and nobody waits for that. */
const PATIENCE = 500
/** Milliseconds by which a timer may be early, and more. */
const SCARCELY = 5
/** Bytes of an answer (RFC 6891, 6.2.3): some 4000 addresses. */
const MOST = 65_000

/** IPv4 addresses that Docker's name server gives the first of these containers that it answers at all; undefined where it answers nobody. */
export type Lookup = (sandboxes: readonly string[], name: string) => Promise<string[] | undefined>

export async function lookUp(
  sandboxes: readonly string[],
  name: string,
  at = DOCKER,
): Promise<string[] | undefined> {
  const last = performance.now() + PATIENCE
  for (const sandbox of sandboxes) {
    const patience = last - performance.now()
    // Whoever is silent is there and asks others; the next one would be no wiser.
    if (patience < SCARCELY) break
    const found = await addressesOf(sandbox, name, at, patience)
    if (found) return found
  }
  return undefined
}

/** Undefined when nobody answers there. */
async function addressesOf(
  namespace: string,
  name: string,
  { server, port }: typeof DOCKER,
  patience: number,
): Promise<string[] | undefined> {
  const id = Math.floor(Math.random() * 65_536)
  try {
    const { fd } = bindPort({ proto: 'udp', address: '0.0.0.0', port: 0, namespace })
    const said = await datagram(question(id, name), server, port, { fd, patience })
    return said && decode(said).answers?.flatMap(each => (each.type === 'A' ? each.data : []))
  } catch {
    return undefined
  }
}

const question = (id: number, name: string) =>
  encode({
    type: 'query',
    id,
    flags: RECURSION_DESIRED,
    questions: [{ type: 'A', name }],
    additionals: [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: MOST,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0,
        flag_do: false,
        options: [],
      },
    ],
  })
