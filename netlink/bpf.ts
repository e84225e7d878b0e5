import { closeSync } from 'node:fs'
import { constants } from 'node:os'
import { NetlinkError } from './error.ts'
import { checked, native } from './native.ts'

/** Commands of bpf(2) (enum bpf_cmd, linux/bpf.h). */
const BPF = {
  MAP_CREATE: 0,
  MAP_LOOKUP_ELEM: 1,
  MAP_UPDATE_ELEM: 2,
  MAP_DELETE_ELEM: 3,
  PROG_LOAD: 5,
  MAP_GET_FD_BY_ID: 14,
  OBJ_GET_INFO_BY_FD: 15,
  MAP_LOOKUP_BATCH: 24,
  MAP_UPDATE_BATCH: 26,
  MAP_DELETE_BATCH: 27,
} as const

/** BPF_MAP_TYPE_HASH and BPF_F_NO_PREALLOC. */
const HASH = 1
const NO_PREALLOC = 1
/** BPF_PROG_TYPE_SCHED_CLS */
const SCHED_CLS = 3
const LOG_SIZE = 65536
/** Some helpers are for programs under a licence compatible with the GPL (license_is_gpl_compatible). */
const LICENCE = Buffer.from('GPL\0')

/** A field of union bpf_attr: __u32, the 16 bytes of a name, a pointer to these bytes or one to nothing. */
type Field = number | string | Buffer | null

const sizeOf = (field: Field) => (typeof field === 'number' ? 4 : typeof field === 'string' ? 16 : 8)
/** Entries that are read by one call. */
const PART = 1024
/** Where a batch's attributes count what was done, behind four pointers. */
const COUNT_AT = 32
type Batch = {
  from?: Buffer | null
  to?: Buffer | null
  keys: Buffer
  values?: Buffer | null
  count: number
}
const nth = (from: Buffer, i: number, size: number) => Buffer.from(from.subarray(i * size, (i + 1) * size))

const aligned = (size: number) => (size + 7) & ~7

/** The attributes as the kernel left them come with its answer: some commands count in them what they did. */
type Answer = { result: number; attributes: Buffer }

const call = (command: number, fields: readonly Field[]): number => ask(command, fields).result

/** One call of bpf(2). What a pointer leads to lies behind the attributes, and is copied back when the kernel has answered. */
function ask(command: number, fields: readonly Field[]): Answer {
  const buffers = fields.filter(field => Buffer.isBuffer(field))
  const size = fields.reduce<number>((sum, field) => sum + sizeOf(field), 0)
  const memory = Buffer.alloc(buffers.reduce((sum, { length }) => sum + aligned(length), aligned(size)))
  const places: number[] = []
  const copies: [Buffer, number][] = []
  let at = 0
  let end = aligned(size)
  for (const field of fields) {
    if (typeof field === 'number') memory.writeUInt32LE(field, at)
    else if (typeof field === 'string') memory.write(field, at, 15)
    else if (field) {
      memory.writeUInt32LE(end, at)
      field.copy(memory, end)
      places.push(at)
      copies.push([field, end])
      end += aligned(field.length)
    }
    at += sizeOf(field)
  }
  const result = native.bpf(command, memory, size, Buffer.from(places))
  for (const [buffer, from] of copies) memory.copy(buffer, 0, from)
  return { result, attributes: memory.subarray(0, size) }
}

export type MapSpec = {
  /** Up to 15 letters, digits, `_` and `.`. */
  name: string
  keySize: number
  valueSize: number
  /** More entries than that are refused with E2BIG. */
  maxEntries: number
}

/**
 * A hash map in the kernel, which lives as long as somebody holds its descriptor or a loaded program uses it. Its id, which is
 * never used again, leads back to it. Every method throws NetlinkError.
 */
export class BpfMap implements Disposable {
  readonly fd: number
  readonly id: number
  readonly name: string
  readonly #keySize: number
  readonly #valueSize: number

  private constructor(fd: number) {
    const info = Buffer.alloc(40)
    checked(call(BPF.OBJ_GET_INFO_BY_FD, [fd, info.length, info]), 'bpf: describe map')
    this.fd = fd
    this.id = info.readUInt32LE(4)
    this.name = info.toString('latin1', 24, 40).replace(/\0.*/s, '')
    this.#keySize = info.readUInt32LE(8)
    this.#valueSize = info.readUInt32LE(12)
  }

  /** EPERM without CAP_BPF, ENOSYS in a kernel without bpf. */
  static create({ name, keySize, valueSize, maxEntries }: MapSpec): BpfMap {
    const fields = [HASH, keySize, valueSize, maxEntries, NO_PREALLOC, 0, 0, name]
    return new BpfMap(checked(call(BPF.MAP_CREATE, fields), `bpf: create map ${name}`))
  }

  /** The map of this id, which somebody else still holds; ENOENT when it is gone. */
  static open(id: number): BpfMap {
    return new BpfMap(checked(call(BPF.MAP_GET_FD_BY_ID, [id, 0, 0]), `bpf: open map ${id}`))
  }

  get(key: Buffer): Buffer | undefined {
    const value = Buffer.alloc(this.#valueSize)
    return this.#found(BPF.MAP_LOOKUP_ELEM, key, value) ? value : undefined
  }

  /** Adds the entry or replaces it. */
  set(key: Buffer, value: Buffer): void {
    this.#check(key, value)
    const fields = [this.fd, 0, key, value, 0, 0]
    checked(call(BPF.MAP_UPDATE_ELEM, fields), `bpf: update map ${this.name}`)
  }

  /** Answers whether there was such an entry. */
  delete(key: Buffer): boolean {
    return this.#found(BPF.MAP_DELETE_ELEM, key)
  }

  /** As `set`, of many entries by one call (Linux 5.6): their keys one after the other, their values likewise. */
  setAll(keys: Buffer, values: Buffer): void {
    const count = Math.floor(keys.length / this.#keySize)
    this.#check(keys, values, count)
    const { result } = this.#batch(BPF.MAP_UPDATE_BATCH, { keys, values, count })
    checked(result, `bpf: update map ${this.name}`)
  }

  /** As `delete`, of many by one call. Those that aren't there are left out. */
  deleteAll(keys: Buffer): void {
    this.#check(keys, undefined, Math.floor(keys.length / this.#keySize))
    for (let at = 0; at < keys.length; ) {
      const rest = keys.subarray(at)
      const count = rest.length / this.#keySize
      const { result, done } = this.#batch(BPF.MAP_DELETE_BATCH, { keys: rest, count })
      if (found(result, this.name)) return
      at += (done + 1) * this.#keySize
    }
  }

  /** All entries, some thousand a call; one that is added or deleted meanwhile may come or not. */
  *entries(): Generator<{ key: Buffer; value: Buffer }> {
    const keys = Buffer.alloc(this.#keySize * PART)
    const values = Buffer.alloc(this.#valueSize * PART)
    const to = Buffer.alloc(4)
    for (let from: Buffer | null = null, more = true; more; from = Buffer.from(to)) {
      const { result, done } = this.#batch(BPF.MAP_LOOKUP_BATCH, { from, to, keys, values, count: PART })
      more = found(result, this.name)
      for (let i = 0; i < done; i++)
        yield { key: nth(keys, i, this.#keySize), value: nth(values, i, this.#valueSize) }
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.fd)
  }

  /** What the commands of many entries have in common; `done` is how many it were. */
  #batch(
    command: number,
    { from = null, to = null, keys, values = null, count }: Batch,
  ): { result: number; done: number } {
    const { result, attributes } = ask(command, [from, to, keys, values, count, this.fd, 0, 0, 0, 0])
    return { result, done: attributes.readUInt32LE(COUNT_AT) }
  }

  #found(command: number, key: Buffer, ...value: Buffer[]): boolean {
    this.#check(key)
    return found(call(command, [this.fd, 0, key, ...value]), this.name)
  }

  /** The kernel reads as many bytes as its map says, however long our buffer is. */
  #check(key: Buffer, value?: Buffer, count = 1): void {
    if (key.length !== this.#keySize * count || (value && value.length !== this.#valueSize * count))
      throw NetlinkError.invalid(`a key is ${this.#keySize} bytes here and a value ${this.#valueSize}`)
  }
}

function found(result: number, name: string): boolean {
  if (result === -constants.errno.ENOENT) return false
  checked(result, `bpf: look into map ${name}`)
  return true
}

/**
 * Loads a program for traffic control and answers its descriptor; the kernel frees it when that is closed and no filter uses it
 * any more. Throws NetlinkError: EPERM, ENOSYS, or what the verifier found, in its own words.
 */
export function loadProgram(name: string, code: Buffer): number {
  const load = (log: Buffer | undefined) => {
    const verbose = log ? [1, log.length, log] : [0, 0, 0, 0]
    return call(BPF.PROG_LOAD, [SCHED_CLS, code.length / 8, code, LICENCE, ...verbose, 0, 0, name])
  }
  const fd = load(undefined)
  if (fd >= 0) return fd
  const log = Buffer.alloc(LOG_SIZE)
  load(log)
  throw NetlinkError.of(-fd, `bpf: load ${name}`, complaint(log))
}

/** The last line of the verifier's log that isn't its statistics. */
function complaint(log: Buffer): string | undefined {
  const lines = log.toString('latin1', 0, log.indexOf(0)).trim().split('\n')
  return lines.filter(line => !/^(processed|verification time|stack depth)/.test(line)).at(-1) || undefined
}
