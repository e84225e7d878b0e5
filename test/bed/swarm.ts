import type { Host } from './host.ts'
import type { Wire } from './wire.ts'

/** Makes a Swarm of hosts that share a wire: the first one leads, the others join as managers or workers. */
export async function formSwarm(
  [first, ...others]: readonly [Host, ...Host[]],
  role: 'manager' | 'worker',
  wire: Wire,
): Promise<void> {
  const at = (host: Host) => ['--advertise-addr', wire.address(host)]
  await first.docker('swarm', 'init', ...at(first))
  const token = await first.docker('swarm', 'join-token', '--quiet', role)
  for (const host of others)
    await host.docker('swarm', 'join', '--token', token, ...at(host), wire.address(first))
}
