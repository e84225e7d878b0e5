import assert from 'node:assert/strict'
import type { Sandbox } from './node.ts'
import { type Answer, type Plugin, subject } from './runtime.ts'

/**
 * What CNI's specification demands of a plugin, verb by verb, and what runtimes really do to it. Any plugin can be put to it:
 * `CNI_PLUGIN=/opt/cni/bin/x CNI_CONFIG=x.json mocha test/cni/conformance.test.ts`.
 */
export type Subject = {
  plugin: Plugin
  sandbox(): Promise<Sandbox>
  /** What of attachments is left on the host. */
  traces(): Promise<object>
  dispose(): Promise<void>
}

export type Expectations = {
  /** Titles of cases that the plugin is known to fail; each is shown to fail. */
  fails: ReadonlySet<string>
  /** The newest version is spoken, and with it GC and STATUS. */
  newest: boolean
}

type Case = { title: string; newest?: boolean; run(subject: Subject): Promise<void> }

export function conformance(
  title: string,
  open: () => Promise<Subject>,
  { fails, newest }: Expectations,
): void {
  describe(title, function () {
    this.timeout(60_000)
    let subject: Subject
    before(async () => {
      subject = await open()
    })
    after(() => subject?.dispose())
    for (const each of cases.filter(each => newest || !each.newest)) {
      if (fails.has(each.title)) it(`does not do: ${each.title}`, () => assert.rejects(each.run(subject)))
      else it(each.title, () => each.run(subject))
    }
  })
}

const success = (answer: Answer): Answer => {
  assert.equal(answer.code, 0, answer.stdout)
  return answer
}
const silent = (answer: Answer) => assert.equal(success(answer).stdout, '')
const refused = (answer: Answer, code?: number) => {
  assert.notEqual(answer.code, 0, 'it should have failed')
  assert.equal(typeof answer.json.msg, 'string', answer.stdout)
  if (code !== undefined) assert.equal(answer.json.code, code, answer.stdout)
  assert.ok((answer.json.code ?? 0) > 0)
}

const gone = async (sandbox: Sandbox) => assert.deepEqual(await sandbox.links(), [])

const cases: Case[] = [
  {
    title: 'VERSION needs nothing but a configuration',
    async run({ plugin }) {
      const { json } = success(await plugin.raw('VERSION', {}, '{"cniVersion":"1.0.0"}'))
      for (const version of ['0.3.1', '0.4.0', '1.0.0']) assert.ok(json.supportedVersions?.includes(version))
    },
  },
  ...(['0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const).map(
    (version): Case => ({
      title: `ADD answers in version ${version}`,
      newest: version === '1.1.0',
      async run({ plugin, sandbox }) {
        const pod = await sandbox()
        const versioned = plugin.with({ cniVersion: version })
        const { json } = success(await versioned.add(pod))
        assert.equal(json.cniVersion, version)
        const inside = json.interfaces.findIndex(each => each.sandbox === pod.path)
        assert.equal(json.interfaces[inside]?.name, 'eth0')
        const link = await pod.run('ip', '-o', 'link', 'show', 'dev', 'eth0')
        assert.ok(link.includes(json.interfaces[inside]?.mac as string) && link.includes('LOWER_UP'), link)
        assert.deepEqual(new Set(json.ips.map(each => each.interface)), new Set([inside]))
        const addresses = await pod.run('ip', '-o', 'address', 'show', 'dev', 'eth0')
        for (const { address, version: family } of json.ips) {
          assert.ok(addresses.includes(` ${address} `), addresses)
          assert.equal(family, version < '1' ? '4' : undefined)
        }
        silent(await versioned.del(pod, {}, json))
        await gone(pod)
      },
    }),
  ),
  {
    title: 'ADD refuses a name that the container has, and leaves that link alone',
    async run({ plugin, sandbox }) {
      const pod = await sandbox()
      await pod.run('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'other')
      refused(await plugin.add(pod))
      assert.deepEqual(await pod.links(), ['eth0', 'other'])
      silent(await plugin.del(pod, { CNI_NETNS: '' }))
    },
  },
  {
    title: 'a second ADD is refused, and the first one stays whole',
    async run({ plugin, sandbox }) {
      const pod = await sandbox()
      const { json } = success(await plugin.add(pod))
      refused(await plugin.add(pod))
      const addresses = await pod.run('ip', '-o', 'address', 'show', 'dev', 'eth0')
      assert.ok(addresses.includes(json.ips[0]?.address as string), addresses)
      silent(await plugin.del(pod))
    },
  },
  {
    title: 'ADD refuses a namespace that is none',
    async run({ plugin, sandbox }) {
      const pod = await sandbox()
      refused(await plugin.add(pod, { CNI_NETNS: '/run/netns/not-there' }))
      refused(await plugin.add(pod, { CNI_NETNS: '/etc/hostname' }))
      refused(await plugin.add(pod, { CNI_NETNS: '' }), 4)
      silent(await plugin.del(pod, { CNI_NETNS: '' }))
    },
  },
  {
    title: 'a variable that is missing or malformed is an error of code 4',
    async run({ plugin, sandbox }) {
      const pod = await sandbox()
      refused(await plugin.add(pod, { CNI_CONTAINERID: '' }), 4)
      refused(await plugin.add(pod, { CNI_IFNAME: '' }), 4)
      refused(await plugin.add(pod, { CNI_IFNAME: 'a-name-that-is-too-long' }), 4)
      refused(await plugin.add(pod, { CNI_CONTAINERID: '../x' }), 4)
      refused(await plugin.call('NONSENSE', subject(pod)), 4)
    },
  },
  {
    title: 'a configuration that is no JSON is an error of code 6',
    async run({ plugin, sandbox }) {
      refused(await plugin.raw('ADD', subject(await sandbox()), '{'), 6)
    },
  },
  {
    title: 'an error names its version',
    async run({ plugin, sandbox }) {
      const { json } = await plugin.add(await sandbox(), { CNI_NETNS: '/run/netns/not-there' })
      assert.equal(json.cniVersion, '1.0.0')
    },
  },
  {
    title: 'a version that is not spoken is an error of code 1',
    async run({ plugin, sandbox }) {
      refused(await plugin.with({ cniVersion: '9.9.9' }).add(await sandbox()), 1)
    },
  },
  {
    title: 'DEL of what was never there succeeds',
    async run({ plugin, sandbox }) {
      const pod = await sandbox()
      silent(await plugin.del(pod))
      silent(await plugin.del(pod, { CNI_NETNS: '' }))
      silent(await plugin.del(pod, { CNI_NETNS: '/run/netns/not-there' }))
    },
  },
  {
    title: 'DEL comes twice, the second time without a namespace',
    async run({ plugin, sandbox }) {
      const pod = await sandbox()
      const { json } = success(await plugin.add(pod))
      silent(await plugin.del(pod, {}, json))
      silent(await plugin.del(pod, { CNI_NETNS: '' }, json))
    },
  },
  {
    title: 'DEL without a namespace leaves nothing on the host',
    async run({ plugin, sandbox, traces }) {
      const [first, pod] = [await sandbox(), await sandbox()]
      success(await plugin.add(first))
      const before = await traces()
      success(await plugin.add(pod))
      await pod.remove()
      silent(await plugin.del(pod, { CNI_NETNS: '' }))
      await settled(traces, before)
      silent(await plugin.del(first))
    },
  },
  {
    title: 'DEL of a vanished namespace leaves nothing on the host',
    async run({ plugin, sandbox, traces }) {
      const [first, pod] = [await sandbox(), await sandbox()]
      success(await plugin.add(first))
      const before = await traces()
      success(await plugin.add(pod))
      await pod.remove()
      silent(await plugin.del(pod))
      await settled(traces, before)
      silent(await plugin.del(first))
    },
  },
  {
    title: 'after DEL the same namespace can have the same name again at once',
    async run({ plugin, sandbox }) {
      const pod = await sandbox()
      for (let i = 0; i < 3; i++) {
        success(await plugin.add(pod))
        silent(await plugin.del(pod))
      }
      await gone(pod)
    },
  },
  {
    title: 'a container has two links of one network',
    async run({ plugin, sandbox }) {
      const pod = await sandbox()
      const first = success(await plugin.add(pod)).json.ips[0]?.address
      const second = success(await plugin.add(pod, { CNI_IFNAME: 'net1' })).json.ips[0]?.address
      assert.notEqual(first, second)
      silent(await plugin.del(pod, { CNI_IFNAME: 'net1' }))
      assert.deepEqual(await pod.links(), ['eth0'])
      silent(await plugin.del(pod))
    },
  },
  {
    title: 'CHECK finds a missing address, route and link',
    async run({ plugin, sandbox }) {
      for (const harm of [
        (address: string) => ['ip', 'address', 'del', address, 'dev', 'eth0'],
        () => ['ip', 'route', 'del', 'default'],
        () => ['ip', 'link', 'del', 'eth0'],
      ]) {
        const pod = await sandbox()
        const versioned = plugin.with({ cniVersion: '1.0.0' })
        const { json } = success(await versioned.add(pod))
        silent(await versioned.check(pod, json))
        await pod.run(...harm(json.ips[0]?.address as string))
        refused(await versioned.check(pod, json))
        silent(await versioned.del(pod))
      }
    },
  },
  {
    title: 'CHECK needs prevResult',
    async run({ plugin, sandbox }) {
      const pod = await sandbox()
      const versioned = plugin.with({ cniVersion: '1.0.0' })
      success(await versioned.add(pod))
      refused(await versioned.call('CHECK', subject(pod)))
      silent(await versioned.del(pod))
    },
  },
  {
    title: 'ten at once have ten addresses',
    async run({ plugin, sandbox }) {
      const pods = await Promise.all(Array.from({ length: 10 }, () => sandbox()))
      const answers = await Promise.all(pods.map(pod => plugin.add(pod)))
      assert.equal(new Set(answers.map(each => success(each).json.ips[0]?.address)).size, 10)
      for (const answer of await Promise.all(pods.map(pod => plugin.del(pod)))) silent(answer)
    },
  },
  {
    title: 'unknown keys that runtimes add are no error',
    async run({ plugin, sandbox }) {
      const pod = await sandbox()
      const more = {
        runtimeConfig: { 'io.kubernetes.cri.pod-annotations': {} },
        args: { cni: { labels: [] } },
        'cni.dev/x': 1,
      }
      success(
        await plugin.with(more).add(pod, { CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAME=a', TRACEPARENT: 'x' }),
      )
      silent(await plugin.with(more).del(pod))
    },
  },
  {
    title: 'GC takes away what is not listed, and nothing else',
    newest: true,
    async run({ plugin, sandbox }) {
      const [kept, dropped] = [await sandbox(), await sandbox()]
      const versioned = plugin.with({ cniVersion: '1.1.0' })
      const { json } = success(await versioned.add(kept))
      success(await versioned.add(dropped))
      const valid = [{ containerID: kept.id, ifname: 'eth0' }]
      silent(
        await versioned.call('GC', {}, { 'cni.dev/valid-attachments': valid, 'cni.dev/attachments': valid }),
      )
      silent(await versioned.check(kept, json))
      await gone(dropped)
      silent(await versioned.del(dropped))
      silent(await versioned.del(kept))
    },
  },
  {
    title: 'GC of a list that is null takes away everything, as libcni prints a list that is empty',
    newest: true,
    async run({ plugin, sandbox }) {
      const pod = await sandbox()
      const versioned = plugin.with({ cniVersion: '1.1.0' })
      success(await versioned.add(pod))
      silent(
        await versioned.call('GC', {}, { 'cni.dev/valid-attachments': null, 'cni.dev/attachments': null }),
      )
      await gone(pod)
      silent(await versioned.del(pod))
    },
  },
  {
    title: 'STATUS tells whether ADD can be called',
    newest: true,
    async run({ plugin }) {
      silent(await plugin.with({ cniVersion: '1.1.0' }).call('STATUS'))
    },
  },
]

/** Links go a moment after the answer. */
async function settled(traces: () => Promise<object>, wanted: object): Promise<void> {
  for (let i = 0; ; i++) {
    const now = await traces()
    if (i === 100 || JSON.stringify(now) === JSON.stringify(wanted)) return assert.deepEqual(now, wanted)
    await new Promise(done => setTimeout(done, 20))
  }
}
