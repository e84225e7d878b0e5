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
  MAP_GET_NEXT_KEY: 4,
  PROG_LOAD: 5,
  MAP_GET_FD_BY_ID: 14,
  OBJ_GET_INFO_BY_FD: 15,
} as const

/** BPF_MAP_TYPE_HASH and BPF_F_NO_PREALLOC. */
const HASH = 1
const NO_PREALLOC = 1
/** BPF_PROG_TYPE_SCHED_CLS */
const SCHED_CLS = 3
const LOG_SIZE = 65536
/** Some helpers are for programs under a licence compatible with the GPL (license_is_gpl_compatible). */
const LICENCE = Buffer.from('GPL\0')

/** A field of union bpf_attr: __u32, the 16 bytes of a name, or a pointer to these bytes. */
type Field = number | string | Buffer

const sizeOf = (field: Field) => (typeof field === 'number' ? 4 : typeof field === 'string' ? 16 : 8)
const aligned = (size: number) => (size + 7) & ~7

/** One call of bpf(2). What a pointer leads to lies behind the attributes, and is copied back when the kernel has answered. */
function call(command: number, fields: readonly Field[]): number {
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
    else {
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
  return result
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

  /** All keys; one that is deleted meanwhile makes the kernel begin anew, so a key may come twice. */
  *keys(): Generator<Buffer> {
    const [key, next] = [Buffer.alloc(this.#keySize), Buffer.alloc(this.#keySize)]
    // A key that isn't there leads to the first one; a null pointer would too.
    for (let first = true; this.#next(first ? undefined : key, next); first = false) {
      next.copy(key)
      yield Buffer.from(key)
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.fd)
  }

  #next(key: Buffer | undefined, next: Buffer): boolean {
    const from: Field[] = key ? [key] : [0, 0]
    return found(call(BPF.MAP_GET_NEXT_KEY, [this.fd, 0, ...from, next]), this.name)
  }

  #found(command: number, key: Buffer, ...value: Buffer[]): boolean {
    this.#check(key)
    return found(call(command, [this.fd, 0, key, ...value]), this.name)
  }

  /** The kernel reads as many bytes as its map says, however long our buffer is. */
  #check(key: Buffer, value?: Buffer): void {
    if (key.length !== this.#keySize || (value && value.length !== this.#valueSize))
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
