import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { isIP, isIPv4, isIPv6 } from 'node:net'
import { join } from 'node:path'
import { z } from 'zod'
import { driverMethods } from '../../driver/methods.ts'
import { golden } from '../support/golden.ts'
import { type Answer, type Bed, bed } from './client.ts'
import { MemoryNetworks } from './networks.ts'

/** What dockerd was told to do, or what it then asked of a plugin. */
type Line = { mark: string } | { path: string; host: string; body: Record<string, unknown> | null }
type Request = Extract<Line, { path: string }>

const folder = join(import.meta.dirname, '../traces')
const nothing = z.strictObject({})
const cidr = z.union([z.cidrv4(), z.cidrv6()])

/** What dockerd takes: moby's `drivers/remote/driver.go` and `api/api.go`. */
const accepted: Record<string, z.ZodType> = {
  'Plugin.Activate': z.strictObject({
    Implements: z.tuple([z.literal('NetworkDriver'), z.literal('IpamDriver')]),
  }),
  GetCapabilities: z.strictObject({
    Scope: z.literal(['local', 'global']),
    ConnectivityScope: z.literal(['local', 'global']),
    GwAllocChecker: z.boolean(),
  }),
  GwAllocCheck: z.strictObject({ SkipIPv4: z.boolean(), SkipIPv6: z.boolean() }),
  AllocateNetwork: z.strictObject({ Options: z.record(z.string(), z.string()) }),
  CreateEndpoint: z.strictObject({ Interface: z.strictObject({ MacAddress: z.mac().optional() }) }),
  EndpointOperInfo: z.strictObject({ Value: nothing }),
  Join: z.strictObject({
    InterfaceName: z.strictObject({ SrcName: z.string().min(1).max(15), DstPrefix: z.string().min(1) }),
    Gateway: z.string().refine(text => text === '' || isIPv4(text)),
    GatewayIPv6: z.string().refine(text => text === '' || isIPv6(text)),
    StaticRoutes: z.array(
      z.strictObject({
        Destination: cidr,
        RouteType: z.literal([0, 1]),
        NextHop: z.string().refine(text => text === '' || isIP(text) > 0),
      }),
    ),
    DisableGatewayService: z.boolean(),
  }),
}

/** The one call that each method makes of the engine; the others make none. */
const understood: Record<string, keyof MemoryNetworks> = {
  CreateNetwork: 'createNetwork',
  DeleteNetwork: 'deleteNetwork',
  CreateEndpoint: 'createEndpoint',
  DeleteEndpoint: 'deleteEndpoint',
  Join: 'join',
  Leave: 'leave',
  ProgramExternalConnectivity: 'publish',
  RevokeExternalConnectivity: 'unpublish',
}

describe('replay of recorded requests', () => {
  for (const file of readdirSync(folder).filter(name => name.endsWith('.jsonl'))) {
    it(file, async () => {
      const networks = new MemoryNetworks()
      const scope = file.startsWith('swarm') ? 'global' : 'local'
      const daemon = await bed({ methods: driverMethods(networks, { scope }) })
      try {
        const text = await transcript(linesOf(file), daemon, networks)
        golden(join(import.meta.dirname, 'goldens', file.replace('.jsonl', '.txt')), text)
      } finally {
        await daemon.stop()
      }
    })
  }
})

function linesOf(file: string): Line[] {
  const text = readFileSync(join(folder, file), 'utf8').trimEnd()
  return text.split('\n').map(line => JSON.parse(line))
}

/** Each request, the calls it made of the engine, and its answer. */
async function transcript(lines: Line[], daemon: Bed, networks: MemoryNetworks): Promise<string> {
  const text: string[] = []
  for (const line of lines) {
    if ('mark' in line) text.push('', `# ${line.mark}`)
    else text.push(...(await replayed(line, daemon, networks)))
  }
  return `${shortened(text.join('\n')).trimStart()}\n`
}

async function replayed(request: Request, daemon: Bed, networks: MemoryNetworks): Promise<string[]> {
  const before = networks.calls.length
  const answer = await daemon.call(request.path.slice(1), request.body ?? undefined, { host: request.host })
  const calls = networks.calls.slice(before)
  check(request, calls, answer)
  return [
    `${request.path} ${request.body ? JSON.stringify(request.body) : ''}`.trimEnd(),
    ...calls.map(call => `  ${call}`),
    `  ${answer.status} ${JSON.stringify(answer.body)}`,
  ]
}

/** Every request but those of the endpoint that asked for an interface's name is understood and well answered. */
function check(request: Request, calls: string[], { status, body }: Answer): void {
  const name = request.path.replace('/NetworkDriver.', '').replace(/^\//, '')
  if (status !== 200) {
    assert.equal(status, 400)
    assert.match(String(body.Err), /ifname|endpoint f69b1f785fbb\S* is unknown/)
    assert.equal(body.Error, body.Err)
    return
  }
  assert.deepEqual(
    calls.map(call => call.split(' ')[0]),
    understood[name] ? [understood[name]] : [],
  )
  assert.deepEqual((accepted[name] ?? nothing).parse(body), body)
  if (name === 'CreateEndpoint') notEchoed(request.body?.Interface, body.Interface)
}

/** "driver modified interface MAC": dockerd refuses any field that the request had. */
function notEchoed(asked: unknown, answered: unknown): void {
  const filled = Object.entries(asked as object).filter(([, value]) => value !== '')
  for (const [field] of filled) assert.ok(!(field in (answered as object)), `${field} is echoed`)
  if (!filled.some(([field]) => field === 'MacAddress')) assert.ok('MacAddress' in (answered as object))
}

/** Engine ids, which are too long to read. */
const shortened = (text: string) => text.replaceAll(/\b([0-9a-f]{6})[0-9a-f]{58}\b/g, '$1…')
