import assert from 'node:assert/strict'
import { demandSerf, SerfBed, until } from './serf-bed.ts'

const keyA = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='
const keyB = 'Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA='
const s1 = '127.77.0.1'
const s2 = '127.77.0.2'
const t1 = '127.77.1.1'
const t2 = '127.77.1.2'

for (const [how, keys] of [
  ['plain', []],
  ['encrypted', [keyA]],
] as const)
  describe(`one cluster with real serf agents, ${how}`, function () {
    this.timeout(240_000)
    const bed = new SerfBed()
    const encrypt = keys.map(key => `-encrypt=${key}`)

    /** Each node of both kinds sees these members, tags and status, and no others. */
    async function everybodySees(
      wanted: Record<string, string>,
      nodes: string[] = ['s1', 's2', 't1', 't2'],
    ): Promise<void> {
      const text = Object.entries(wanted)
        .map(([name, rest]) => `${name} ${rest}`)
        .sort()
        .join('\n')
      for (const name of nodes) {
        const see = () => (name.startsWith('s') ? bed.members(name) : bed.call('members', name))
        await until(`${name} sees\n${text}`, async () => (await see()).join('\n') === text, see)
      }
    }

    const alive = {
      s1: 'alive {"role":"one"}',
      s2: 'alive {}',
      t1: 'alive {"role":"first"}',
      t2: 'alive {"role":"second"}',
    }

    before(async () => {
      demandSerf()
      await bed.open()
      await bed.serf('s1', s1, '-tag=role=one', ...encrypt)
      await bed.serf('s2', s2, `-join=${s1}`, ...encrypt)
      await bed.call('open', 't1', t1, [...keys], { role: 'first' }, [s1])
      await bed.call('open', 't2', t2, [...keys], { role: 'second' }, [])
    })
    after(() => bed.close())

    it('joins both ways, by a seed and by a call, and both kinds see every tag', async () => {
      assert.equal(await bed.call('join', 't2', s2), '')
      await everybodySees(alive)
    })

    it('passes user events both ways', async () => {
      await bed.command('s1', 'event', '-coalesce=false', 'up', 'from serf')
      await bed.call('userEvent', 't1', 'down', 'from us')
      for (const name of ['t1', 't2'])
        await until(`${name} has serf's event`, async () =>
          (await bed.call('events', name)).includes('event up from serf'),
        )
      assert.equal((await bed.call('events', 't2')).filter(event => event === 'event up from serf').length, 1)
      for (const name of ['s1', 's2'])
        await until(
          `${name} has our event`,
          () => bed.log(name).includes('user-event: down'),
          () => bed.log(name),
        )
    })

    it('passes changed tags both ways', async () => {
      await bed.command('s2', 'tags', '-set', 'role=two')
      await bed.call('setTags', 't2', { role: 'changed' })
      await everybodySees({ ...alive, s2: 'alive {"role":"two"}', t2: 'alive {"role":"changed"}' })
      await bed.command('s2', 'tags', '-delete', 'role')
      await bed.call('setTags', 't2', { role: 'second' })
      await everybodySees(alive)
    })

    if (keys.length)
      it('follows a rotation of keys that serf does, and loses nobody', async () => {
        await bed.command('s1', 'keys', `-install=${keyB}`)
        await bed.command('s1', 'keys', `-use=${keyB}`)
        await bed.command('s1', 'keys', `-remove=${keyA}`)
        for (const name of ['t1', 't2']) assert.deepEqual(await bed.call('keys', name), [keyB])
        await bed.call('userEvent', 't1', 'rotated', '')
        await until('s2 hears us by the new key', () => bed.log('s2').includes('user-event: rotated'))
        await everybodySees(alive)
        assert.deepEqual(await deaths(), [])
      })

    const deaths = async (): Promise<string[]> =>
      (await bed.call('events', 't1')).filter(event => event.startsWith('dead'))

    if (!keys.length)
      it('takes a serf agent that is stopped for dead, and back when it goes on', async () => {
        bed.signal('s2', 'SIGSTOP')
        await until('t1 takes s2 for dead', async () => (await deaths()).includes('dead s2'))
        bed.signal('s2', 'SIGCONT')
        await everybodySees(alive)
      })

    it('heals a partition', async () => {
      await bed.partition([s1, t1], [s2, t2])
      await until(
        't1 has lost the other half',
        async () => (await bed.call('members', 't1')).filter(member => / dead /.test(member)).length === 2,
      )
      await bed.partition()
      await everybodySees(alive)
    })

    it('sees a serf agent leave, and is seen leaving by serf', async () => {
      await bed.command('s2', 'leave')
      await until('t1 sees s2 leave', async () => (await bed.call('events', 't1')).includes('left s2'))
      const before = bed.log('s1').length
      await bed.call('leave', 't2')
      await until(
        's1 sees t2 leave',
        async () => (await bed.members('s1')).some(member => member.startsWith('t2 left')),
        () => bed.members('s1'),
      )
      assert.ok(!bed.log('s1').slice(before).includes('EventMemberFailed: t2'), bed.log('s1').slice(before))
    })

    it('sees a serf agent die, and is seen dying by serf', async () => {
      const third = () =>
        bed.serf('s3', '127.77.0.3', `-join=${s1}`, ...(keys.length ? [`-encrypt=${keyB}`] : []))
      await third()
      await until('t1 sees s3', async () => (await bed.call('events', 't1')).includes('join s3'))
      bed.signal('s3', 'SIGKILL')
      await until('t1 sees s3 die', async () => (await bed.call('events', 't1')).includes('dead s3'))
      // Serf waits half a minute for somebody who confirms, as long as it counts one who is dead.
      await third()
      await until('s1 has s3 back', async () =>
        (await bed.members('s1')).some(member => member.startsWith('s3 alive')),
      )
      bed.signalNodes('SIGKILL')
      await until(
        's1 sees t1 die',
        async () => (await bed.members('s1')).some(member => member.startsWith('t1 failed')),
        () => bed.members('s1'),
      )
    })
  })
