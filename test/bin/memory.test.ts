import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { clean } from '../../bin/memory.ts'

const mapping = (head: string, anonymous: number) =>
  `${head}\nSize:               4096 kB\nRss:                1024 kB\nAnonymous:          ${anonymous} kB\nVmFlags: rd ex mr\n`

describe('memory that is given back', () => {
  it('is that of files, which nobody has written to', () => {
    const smaps = [
      mapping('00400000-0082e000 r--p 00000000 fe:00 1234                  /opt/tsnet/node', 0),
      mapping('0082e000-03489000 r-xp 0042e000 fe:00 1234                  /opt/tsnet/node', 0),
      // Relocations: read again, they would be those of the file.
      mapping('07200000-07300000 r--p 06e00000 fe:00 1234                  /opt/tsnet/node', 8),
      mapping('07300000-07400000 rw-p 06f00000 fe:00 1234                  /opt/tsnet/node', 0),
      mapping('10e35000-116b5000 rw-p 00000000 00:00 0                     [heap]', 0),
      mapping('7ffc1000-7ffc2000 r-xp 00000000 00:00 0                     [vdso]', 0),
      mapping('7ffd1000-7ffd2000 r--s 00000000 fe:00 99                    /var/lib/tsnet/shared', 0),
      mapping('7ffae9602000-7ffae9866000 r--p 00000000 00:00 0', 0),
    ].join('')
    assert.deepEqual(
      [...clean(smaps)],
      [
        [0x400000n, 0x82e000n],
        [0x82e000n, 0x3489000n],
      ],
    )
  })

  it('is most of what this process has of Node’s program', () => {
    const found = [...clean(readFileSync('/proc/self/smaps', 'latin1'))]
    assert.ok(found.reduce((sum, [start, end]) => sum + Number(end - start), 0) > 50_000_000)
  })
})
