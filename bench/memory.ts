// What tsnetd takes to start and to keep, empty and with many endpoints recorded, against a bare Node that listens.
import { setTimeout as pause } from 'node:timers/promises'
import { rounds } from './rounds.ts'
import { fill, type Server, Solo } from './solo.ts'
import { against, count, print, quick } from './table.ts'

const RECORDS = count('BENCH_RECORDS', 1000, 50)
const ROUNDS = quick ? 1 : 5
/** Milliseconds that a server is left alone before its memory is read: it gives back what it needed to start. */
const REST = 4000

/** Starts, looks, kills: the next one finds what a crash leaves. */
async function once(start: () => Promise<Server>): Promise<Record<string, number>> {
  const server = await start()
  const cpu = await server.cpu()
  await pause(REST)
  const { now, own, highest } = await server.memory()
  await server.kill()
  return { startup: server.startup, cpu, now, own, highest }
}

async function compare(empty: Solo, full: Solo): Promise<void> {
  const server = await full.tsnetd()
  await fill(server, RECORDS)
  const filled = await server.memory()
  await pause(REST)
  const rested = await server.memory()
  await server.kill()
  const contenders = {
    'bare server': () => once(() => empty.bare()),
    'no records': () => once(() => empty.tsnetd()),
    'all there': () => once(() => full.tsnetd()),
    'after a reboot': async () => {
      await full.reboot()
      return once(() => full.tsnetd())
    },
  }
  const measured = await rounds(contenders, ROUNDS)
  const of = (name: string) => measured[name] ?? {}
  const row = (label: string, name: string) => {
    const { startup = 0, cpu = 0, now = 0, own = 0, highest = 0 } = of(name)
    return [label, startup, startup - (of('no records').startup ?? 0), cpu, now, own, highest]
  }
  print(`Start to first answer, and memory ${REST / 1000} s later`, [
    ['', 'start ms', 'more than empty ms', 'CPU ms', 'resident MB', 'its own', 'highest'],
    ['bare node:http server', ...row('', 'bare server').slice(1)],
    row('tsnetd, no records', 'no records'),
    row(`tsnetd, ${RECORDS} endpoints, killed and started`, 'all there'),
    row(`tsnetd, ${RECORDS} endpoints, host rebooted`, 'after a reboot'),
  ])
  print('Promises', [
    ['', 'measured', 'promise'],
    [`start with ${RECORDS} endpoints, s`, '', against((of('all there').startup ?? 0) / 1000, 1)],
    [`resident with ${RECORDS} endpoints, MB`, '', against(of('all there').now ?? 0, 90)],
    [`resident ${REST / 1000} s after ${RECORDS} were made, MB`, '', against(rested.now, 90)],
    [`resident at once after that, MB`, filled.now, ''],
  ])
}

const [empty, full] = [await Solo.start('empty'), await Solo.start('full')]
try {
  await compare(empty, full)
} catch (error) {
  process.stderr.write(full.log())
  throw error
} finally {
  await empty.stop()
  await full.stop()
}
