import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { list, readSettings, settings } from '../../bin/settings.ts'
import { config, project, prompt } from './privileges.ts'

const text = (name: string) => readFileSync(join(project, name), 'utf8')
const ours = config.env.filter(({ name }) => name.startsWith('TSNET_'))

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
