import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** Compares with the text of a file; `UPDATE=1` writes the file instead, to be read as a diff before it is committed. */
export function golden(path: string, text: string): void {
  if (process.env.UPDATE) {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  }
  assert.ok(existsSync(path), `${path} is missing: run the test once with UPDATE=1 and read what it wrote`)
  assert.equal(text, readFileSync(path, 'utf8'))
}
