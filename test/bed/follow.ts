import { closeSync, openSync, readSync } from 'node:fs'
import { StringDecoder } from 'node:string_decoder'

/**
 * Tells what is written to a file, which need not be there yet, a moment after it was.
 * @returns tells the rest and ends
 */
export function follow(path: string, print: (text: string) => void): () => void {
  const decoder = new StringDecoder('utf8')
  const buffer = Buffer.alloc(1 << 16)
  let file: number | undefined
  const read = () => {
    file ??= opened(path)
    if (file === undefined) return
    for (let length = readSync(file, buffer); length > 0; length = readSync(file, buffer))
      print(decoder.write(buffer.subarray(0, length)))
  }
  const timer = setInterval(read, 100)
  return () => {
    clearInterval(timer)
    read()
    if (file !== undefined) closeSync(file)
  }
}

function opened(path: string): number | undefined {
  try {
    return openSync(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
