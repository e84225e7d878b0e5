import { closeSync, fdatasyncSync, openSync, readFileSync, writeSync } from 'node:fs'
import { crc32 } from 'node:zlib'

/**
 * A file that remembers how many commits were acknowledged. It is written behind each commit and not flushed, so that after
 * a power cut it may tell too few, but never too many: a database with fewer has lost some. Two slots in blocks of their own
 * are written in turn, for a power cut may tear one.
 */
export class Mark {
  readonly #fd: number

  constructor(path: string) {
    this.#fd = openSync(path, 'r+')
  }

  /** Its length never changes again: a full disk can't stop it. */
  static create(path: string): void {
    const fd = openSync(path, 'wx', 0o600)
    writeSync(fd, Buffer.concat([slot(0), Buffer.alloc(apart - slotLength), slot(0)]))
    fdatasyncSync(fd)
    closeSync(fd)
  }

  /** How many commits it knows of; undefined when neither slot is whole. */
  static read(path: string): number | undefined {
    const bytes = readFileSync(path)
    const counts = [0, apart].flatMap(at => parse(bytes.subarray(at, at + slotLength)) ?? [])
    return counts.length > 0 ? Math.max(...counts) : undefined
  }

  write(commits: number): void {
    writeSync(this.#fd, slot(commits), 0, slotLength, (commits % 2) * apart)
  }

  close(): void {
    fdatasyncSync(this.#fd)
    closeSync(this.#fd)
  }
}

/** Bytes from one slot to the other: larger than a sector of any disk. */
const apart = 4096
const slotLength = 12

function slot(commits: number): Buffer {
  const bytes = Buffer.alloc(slotLength)
  bytes.writeBigUInt64LE(BigInt(commits))
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 8)), 8)
  return bytes
}

function parse(bytes: Buffer): number | undefined {
  if (bytes.length < slotLength || bytes.readUInt32LE(8) !== crc32(bytes.subarray(0, 8))) return undefined
  return Number(bytes.readBigUInt64LE())
}
