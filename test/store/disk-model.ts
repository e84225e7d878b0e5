import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import type { Call } from './syscalls.ts'

/** What a write does to a file's bytes. */
type Edit = { at: number; bytes: Buffer } | { length: number }
type File = { kind: 'file'; durable: Buffer; pending: Edit[]; length: number }
type Directory = { kind: 'directory' }
type Names = Map<string, File | Directory>
type NameEdit = (names: Names) => void

/** Draws a number from 0 to `below` - 1. */
export type Draw = (below: number) => number

/**
 * A disk that keeps its promises and no more: fdatasync(2) makes a file's bytes durable, fsync(2) of a directory the names in
 * it. Of everything later a power cut leaves any part: names in their order up to some point, for file systems keep a journal
 * of them, and of a file's writes any subset, each of them whole or torn at a sector.
 */
export class DiskModel {
  readonly #root: string
  #durable: Names = new Map()
  readonly #names: Names = new Map()
  #pending: NameEdit[] = []

  constructor(root: string) {
    this.#root = root
  }

  apply(call: Call): void {
    if (call.name === 'write') this.#write(call.path, call.bytes, call.at)
    if (call.name === 'truncate') this.#edit(call.path, { length: call.length })
    if (call.name === 'flush') this.#flush(call.path)
    if (call.name === 'create') this.#create(call.path)
    if (call.name === 'mkdir') this.#rename(names => names.set(call.path, { kind: 'directory' }))
    if (call.name === 'unlink') this.#rename(names => names.delete(call.path))
    if (call.name === 'rename') this.#rename(names => move(names, call.path, call.to))
  }

  /** Writes what is found after a power cut now to a directory. */
  cut(target: string, draw: Draw): void {
    const names = new Map(this.#durable)
    for (const edit of this.#pending.slice(0, draw(this.#pending.length + 1))) edit(names)
    for (const [path, node] of names) {
      const to = join(target, relative(this.#root, path))
      mkdirSync(node.kind === 'file' ? dirname(to) : to, { recursive: true })
      if (node.kind === 'file') writeFileSync(to, leftOf(node, draw))
    }
  }

  #file(path: string): File {
    const node = this.#names.get(path)
    if (node?.kind !== 'file') throw new Error(`the trace uses ${path} before it is made`)
    return node
  }

  #write(path: string, bytes: Buffer, at?: number): void {
    this.#edit(path, { at: at ?? this.#file(path).length, bytes })
  }

  #edit(path: string, edit: Edit): void {
    const file = this.#file(path)
    file.pending.push(edit)
    file.length = 'length' in edit ? edit.length : Math.max(file.length, edit.at + edit.bytes.length)
  }

  #flush(path: string): void {
    const node = path === this.#root ? undefined : this.#names.get(path)
    if (node?.kind === 'file') {
      node.durable = node.pending.reduce<Buffer>(edited, node.durable)
      node.pending = []
    } else {
      for (const edit of this.#pending) edit(this.#durable)
      this.#pending = []
    }
  }

  #create(path: string): void {
    if (this.#names.has(path)) return
    const file: File = { kind: 'file', durable: Buffer.alloc(0), pending: [], length: 0 }
    this.#rename(names => names.set(path, file))
  }

  #rename(edit: NameEdit): void {
    edit(this.#names)
    this.#pending.push(edit)
  }
}

function move(names: Names, from: string, to: string): void {
  for (const [path, node] of [...names]) {
    if (path !== from && !path.startsWith(`${from}/`)) continue
    names.delete(path)
    names.set(to + path.slice(from.length), node)
  }
}

/** A torn write ends at a sector of 512 bytes. */
function leftOf({ durable, pending }: File, draw: Draw): Buffer {
  return pending.reduce<Buffer>((bytes, edit) => {
    const fate = draw(3)
    if (fate === 0) return bytes
    if (fate === 1 || 'length' in edit) return edited(bytes, edit)
    const sectors = Math.ceil(edit.bytes.length / 512)
    return edited(bytes, { at: edit.at, bytes: edit.bytes.subarray(0, draw(sectors + 1) * 512) })
  }, durable)
}

function edited(bytes: Buffer, edit: Edit): Buffer {
  const length = 'length' in edit ? edit.length : Math.max(bytes.length, edit.at + edit.bytes.length)
  const next = Buffer.alloc(length)
  bytes.copy(next)
  if (!('length' in edit)) edit.bytes.copy(next, edit.at)
  return next
}
