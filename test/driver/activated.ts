import { pino } from 'pino'
import { serve } from '../../bin/serve.ts'

/** A daemon that says who it is: `activated.ts PATH`. Ends on SIGTERM, or when whoever started it is gone. */
const [path = ''] = process.argv.slice(2)
const methods = { 'Test.Who': { run: () => ({ pid: process.pid }) } }
const { close } = await serve({ path, methods, log: pino({ level: 'silent' }) })
process.once('SIGTERM', async () => {
  await close()
  process.exit(0)
})
process.stdin.resume().once('end', () => process.exit(1))
process.stdout.write(`${process.pid}\n`)
