// The driver's socket without any engine: requests a second and how long they take, against a bare node:http server.
import { type Line, spread } from './line.ts'
import { type Medians, rounds } from './rounds.ts'
import { createNetwork, Endpoint, fill, type Server, Solo } from './solo.ts'
import { count, median, print, quantile, quick } from './table.ts'

const ROUNDS = quick ? 3 : 11
const REQUESTS = quick ? 200 : 2000
const CYCLES = quick ? 20 : 100
const PARALLEL = 8
const NET = 99

type Work = (line: Line) => Promise<unknown>
const info = new Endpoint(NET, 9)
const spaces: Work = line => line.ask('IpamDriver.GetDefaultAddressSpaces')
const operInfo: Work = line => info.info(line)

/** Microseconds of one request after the other, and requests a second over several connections. */
async function measure(server: Server, lines: readonly Line[], work: Work): Promise<Record<string, number>> {
  const pieces = Array.from({ length: REQUESTS }, (_, i) => i)
  const before = await server.cpu()
  const alone = await spread(lines.slice(0, 1), pieces, work)
  const cpu = (await server.cpu()) - before
  const start = performance.now()
  await spread(lines, pieces, work)
  return {
    p50: 1000 * median(alone),
    p99: 1000 * quantile(alone, 0.99),
    cpu: (1000 * cpu) / REQUESTS,
    rate: (1000 * REQUESTS) / (performance.now() - start),
  }
}

/** Milliseconds of a whole life of an endpoint, and lives a second over several connections. */
async function lives(lines: readonly Line[]): Promise<Record<string, number>> {
  const all = (from: number) => Array.from({ length: CYCLES }, (_, i) => new Endpoint(NET, from + i))
  const live = async (line: Line, endpoint: Endpoint) => {
    await endpoint.make(line)
    await endpoint.drop(line)
  }
  const alone = await spread(lines.slice(0, 1), all(1000), live)
  const start = performance.now()
  await spread(lines, all(2000), live)
  return {
    p50: median(alone),
    p99: quantile(alone, 0.99),
    rate: (1000 * CYCLES) / (performance.now() - start),
  }
}

async function at(solo: Solo, endpoints: number): Promise<void> {
  const [tsnetd, bare] = [await solo.tsnetd(), await solo.bare()]
  try {
    if (endpoints > 0) await fill(tsnetd, endpoints)
    const [ours, theirs] = [await tsnetd.lines(PARALLEL), await bare.lines(PARALLEL)]
    await createNetwork(ours[0] as Line, NET)
    report(
      endpoints,
      await rounds(
        {
          GetDefaultAddressSpaces: () => measure(tsnetd, ours, spaces),
          EndpointOperInfo: () => measure(tsnetd, ours, operInfo),
          'bare server': () => measure(bare, theirs, operInfo),
        },
        ROUNDS,
      ),
      await rounds({ life: () => lives(ours) }, quick ? 1 : 3),
    )
    for (const line of [...ours, ...theirs]) line.close()
  } finally {
    await tsnetd.kill()
    await bare.kill()
  }
}

function report(endpoints: number, requests: Medians, life: Medians): void {
  const bare = requests['bare server'] ?? {}
  const row = (name: string) => {
    const { p50 = 0, p99 = 0, cpu = 0, rate = 0 } = requests[name] ?? {}
    return [name, p50, p99, cpu, rate, p50 / (bare.p50 ?? 0), rate / (bare.rate ?? 0)]
  }
  print(`Driver socket, ${endpoints} endpoints: one connection, and ${PARALLEL} connections for the rate`, [
    ['', 'p50 µs', 'p99 µs', 'CPU µs', 'requests/s', 'p50 of bare', 'rate of bare'],
    ...Object.keys(requests).map(row),
  ])
  const { p50 = 0, p99 = 0, rate = 0 } = life.life ?? {}
  print(`CreateEndpoint, Join, Leave, DeleteEndpoint, ${endpoints} endpoints`, [
    ['', 'p50 ms', 'p99 ms', 'lives/s'],
    ['tsnetd', p50, p99, rate],
  ])
}

for (const endpoints of [0, count('BENCH_RECORDS', 1000, 50)]) {
  const solo = await Solo.start('socket')
  try {
    await at(solo, endpoints)
  } catch (error) {
    process.stderr.write(solo.log())
    throw error
  } finally {
    await solo.stop()
  }
}
