import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { image } from '../bed/host.ts'
import { until } from '../bed/until.ts'
import { driver, onDocker } from './support.ts'

const sample = resolve(import.meta.dirname, '../../deploy/compose.yaml')

if (driver === 'tsnet')
  onDocker(
    'docker compose',
    bed => {
      bed.it('brings the sample up, whose services reach each other, and takes it down', async () => {
        const compose = (...args: string[]) =>
          bed.docker('compose', '--file', sample, '--project-name', 'sample', ...args)
        await bed.host.api.getImage(image).tag({ repo: 'busybox' })
        await compose('up', '--detach')
        const page = ['timeout', '5', 'busybox', 'wget', '-qO-', `http://${bed.ipv4}:8080/`]
        await until('the page', async () => {
          return (await bed.outside.exec(...page)) === 'tsnet serves'
        })
        await until('the services to meet', async () => {
          return /reached shop/.test(await compose('logs', 'probe'))
        })
        assert.match(await bed.host.exec('ip', 'address'), /mtu 1450[\s\S]*inet 10\.77\.0\.1\/24/)
        await compose('down', '--timeout', '1')
        assert.deepEqual(await bed.host.api.listContainers({ all: true }), [])
      })
    },
    { engines: ['28.5'] },
  )
