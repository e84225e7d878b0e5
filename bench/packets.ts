import { run } from '../test/bed/run.ts'
import { EXCHANGE, IPERF, type Path } from './paths.ts'
import { rounds } from './rounds.ts'
import { against, print } from './table.ts'

/** `exchange.c`, compiled, and how often it asks. */
export type Exchange = { helper: string; times: number }

/** Microseconds, medians of many exchanges: on one connection, and each on a new one. */
export async function latency(
  { from, to }: Path,
  { helper, times }: Exchange,
): Promise<Record<'ask' | 'connect', number>> {
  const of = async (what: string) =>
    Number(await run(from(helper, what, to, String(EXCHANGE), String(times))))
  return { ask: await of('ask'), connect: await of('connect') }
}

/** One TCP stream for a second, Gbit/s as received. */
export async function throughput({ from, to }: Path): Promise<Record<'stream', number>> {
  const words = ['--client', to, '--port', String(IPERF), '--time', '1', '--json']
  const answer = JSON.parse(await run(from('iperf3', ...words)))
  return { stream: answer.end.sum_received.bits_per_second / 1e9 }
}

/** What tsnet is compared with: its name in the table, and the share of its speed that is promised. */
export type Peer = { name: string; promise: number }

/** Prints a table of tsnet's packets beside those of others, in turns. The path of tsnet is called so. */
export async function compare(
  title: string,
  paths: Readonly<Record<string, Path>>,
  peers: readonly Peer[],
  exchange: Exchange,
  times: number,
): Promise<void> {
  const each = Object.entries(paths).map(
    ([name, path]) =>
      [name, async () => ({ ...(await latency(path, exchange)), ...(await throughput(path)) })] as const,
  )
  const medians = await rounds(Object.fromEntries(each), times)
  const of = (name: string, what: string) => medians[name]?.[what] ?? Number.NaN
  const line = (title: string, what: string): (string | number)[] => {
    const ours = of('tsnet', what)
    const ratio = (theirs: number) => (what === 'stream' ? ours / theirs : theirs / ours)
    return [
      title,
      ...peers.map(({ name }) => of(name, what)),
      ours,
      ...peers.map(({ name, promise }) => against(ratio(of(name, what)), promise, 'higher')),
    ]
  }
  print(title, [
    ['', ...peers.map(each => each.name), 'tsnet', ...peers.map(each => `of ${each.name}`)],
    line('request and response, p50 µs', 'ask'),
    line('connect, exchange and close, p50 µs', 'connect'),
    line('one TCP stream, Gbit/s', 'stream'),
  ])
}
