import { constants, setPriority } from 'node:os'
import { pino } from 'pino'
import { Refused } from '../core/errors.ts'
import { openDoors } from './doors.ts'
import { openHost } from './host.ts'
import { Membership } from './membership.ts'
import type { Metrics } from './metrics.ts'
import { readSettings } from './settings.ts'

/** The daemon: the only place where the real parts meet. Runs until SIGTERM or SIGINT. */
async function main(): Promise<void> {
  process.title = 'tsnetd'
  comeFirst()
  const started = Date.now()
  const settings = readSettings(process.argv.slice(2), process.env)
  const log = pino({ level: settings.log, base: null })
  const membership = new Membership(settings, log)
  const metrics = settings.metrics ? await openMetrics() : undefined
  const host = await openHost({ settings, membership, log, metrics })
  await membership.join(host)
  const doors = await openDoors({ host, membership, settings, log, started, metrics })
  membership.start()
  log.info({ socket: settings.socket, state: settings.state }, 'tsnetd serves')

  const end = async () => {
    await doors.close()
    await membership.close()
    await host.close()
    process.exit(0)
  }
  process.once('SIGTERM', end)
  process.once('SIGINT', end)
}

/** Whoever doesn't ask for them doesn't pay for their library. */
async function openMetrics(): Promise<Metrics> {
  const { Metrics } = await import('./metrics.ts')
  return new Metrics()
}

/**
 * Containers that start by the hundred wait for us, and so would we for them. Threads, and the programs that they run, inherit it; who
 * may not ask for it goes without.
 */
function comeFirst(): void {
  try {
    setPriority(constants.priority.PRIORITY_HIGH)
  } catch {}
}

main().catch((error: unknown) => {
  process.stderr.write(`tsnetd: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(error instanceof Refused ? 2 : 1)
})
