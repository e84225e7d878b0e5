import { isDefault } from './addresses.ts'
import { diff } from './diff.ts'
import type { Furnished, Kernel } from './faces.ts'
import { stepLine } from './lines.ts'
import { isAlike, rateWords } from './rates.ts'
import type { Route } from './records.ts'
import type { LinkRow, Wanted } from './rows.ts'

/** What of an endpoint's rows, and of its link inside the container, isn't as it is wanted: a sentence each. Changes nothing. */
export async function drift(kernel: Kernel, wanted: readonly Wanted[]): Promise<string[]> {
  const rows = wanted.map(({ row }) => row).filter(row => row.kind !== 'shortcut')
  const present = await kernel.read({ owned: false, rows })
  const steps = diff(
    rows.map(row => ({ row, presence: 'must' })),
    present,
  )
  const peers = rows.flatMap(row => (row.kind === 'link' && row.peer?.inside ? row.peer : []))
  const inside = await Promise.all(peers.map(async peer => ofPeer(peer, await lookAt(kernel, peer))))
  return [...steps.map(step => `the host needs: ${stepLine(step)}`), ...inside.flat()]
}

/** Which of a container's links is its way out is not the link's own matter. */
const print = (route: Route) => (isDefault(route) ? route.to : JSON.stringify(route))

type Peer = NonNullable<LinkRow['peer']>

const lookAt = (kernel: Kernel, { name, inside }: Peer) => kernel.look(inside?.namespace ?? '', name)

function ofPeer({ name, mac, mtu, inside }: Peer, found: Furnished | undefined): string[] {
  if (!found) return [`the container has no ${name}`]
  const { addresses = [], routes = [], rate } = inside ?? {}
  const has = new Set([...found.addresses, ...found.routes.map(print)])
  return [
    ...(found.up ? [] : [`${name} is down`]),
    ...(mac === undefined || mac === found.mac ? [] : [`${name} has the MAC ${found.mac} instead of ${mac}`]),
    ...(mtu === undefined || mtu === found.mtu
      ? []
      : [`${name} has an MTU of ${found.mtu} instead of ${mtu}`]),
    ...(rate === undefined || (found.rate && isAlike(rate, found.rate))
      ? []
      : [
          `${name} sends at ${found.rate ? rateWords(found.rate) : 'any rate'} instead of ${rateWords(rate)}`,
        ]),
    ...addresses.filter(each => !has.has(each)).map(each => `${name} lacks the address ${each}`),
    ...routes
      .filter(each => !has.has(print(each)))
      .map(({ to, via }) => `${name} lacks the route to ${to}${via === undefined ? '' : ` via ${via}`}`),
  ]
}
