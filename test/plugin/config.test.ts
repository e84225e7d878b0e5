import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { pluginId } from '../../bin/plugin.ts'
import { list, readSettings, settings } from '../../bin/settings.ts'
import { config, project, prompt } from './privileges.ts'

const text = (name: string) => readFileSync(join(project, name), 'utf8')
const ours = config.env.filter(({ name }) => name.startsWith('TSNET_'))

describe('a managed plugin', () => {
  const id = 'c'.repeat(64)

  it('knows its id by what Docker mounts', () => {
    const line = (folder: string) =>
      `71 60 0:24 ${folder} /run/docker/plugins rw,relatime shared:3 - tmpfs tmpfs rw\n`
    const others = '60 59 0:24 / /run rw - tmpfs tmpfs rw\n'
    assert.equal(pluginId(others + line(`/docker/plugins/${id}`)), id)
    assert.equal(pluginId(others + line(`/run/docker/plugins/${id}`)), id)
    assert.equal(pluginId(others + line('/docker/plugins')), undefined)
  })
})

describe('config.json', () => {
  it('lets `docker plugin set` set every setting, and no other word of ours', () => {
    const known = Object.values(settings).map(({ env }) => env)
    assert.deepEqual(ours.map(({ name }) => name).sort(), known.sort())
    for (const { name, description, settable } of ours) {
      assert.deepEqual(settable, ['value'], name)
      assert(description, name)
    }
  })

  it('holds values that the daemon takes', () => {
    const env = Object.fromEntries(config.env.map(({ name, value }) => [name, value]))
    const { socket } = readSettings([], env)
    assert.equal(basename(list(socket).at(-1) ?? ''), config.interface.socket)
  })

  it('asks for the privileges that README.md shows and docs/plugin.md explains', () => {
    assert(text('README.md').includes(prompt('registry.example/tsnet:latest').replaceAll(/^/gm, '    ')))
    const explained = text('docs/plugin.md')
    for (const { source } of config.mounts) assert(explained.includes(`| \`${source}\``), source)
    for (const name of config.linux.capabilities) assert(explained.includes(`| \`${name}\``), name)
  })
})
