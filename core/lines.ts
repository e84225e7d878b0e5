import { rateWords } from './rates.ts'
import type { Row, Step } from './rows.ts'

/**
 * Rows and steps as text, one line each, close to what `ip` and `nft` print. Goldens, `tsnet plan`, logs and error
 * sentences all use this printer.
 */
export function line(row: Row): string {
  switch (row.kind) {
    case 'link':
      return words('link', row.name, 'type', row.type, ...linkWords(row))
    case 'address':
      return words('address', row.address, 'dev', row.link, row.scope && `scope ${row.scope}`)
    case 'fdb':
      return words('fdb', row.link, row.mac, 'to', row.to || 'nowhere')
    case 'neighbour':
      return words('neighbour', row.link, row.address, 'at', row.mac)
    case 'route':
      return words(
        'route',
        row.to,
        row.via && `via ${row.via}`,
        'dev',
        row.link,
        row.src && `src ${row.src}`,
        row.srcOf && `src of ${row.srcOf}`,
      )
    case 'sysctl':
      return words('sysctl', row.key, '=', row.value)
    case 'chain':
      return words('chain', row.name, row.hook && `{ ${row.hook} }`, `${row.rules.length} rules`)
    case 'set':
      return words(
        row.value ? 'map' : 'set',
        row.name,
        fields(row.type),
        row.value && `: ${valueType(row.value)}`,
      )
    case 'element':
      return words('element', row.set, fields(row.key), row.value && `: ${fields(row.value)}`)
    case 'port':
      return words('port', row.proto, row.address, String(row.port))
    case 'accept':
      return words('accept', row.backend, row.family)
    case 'shortcut':
      return words('shortcut', row.mac ?? 'others', 'dev', row.link, 'master', row.bridge)
    case 'rate':
      return words('rate', 'dev', row.link, 'root tbf', rateWords(row))
  }
}

/** A step as a line: `add link tsv-1 …`, or `set link tsv-1 … (mtu differs)` where the reason isn't in the verb. */
export function stepLine(step: Step): string {
  return words(step.verb, line(step.row), step.reason && `(${step.reason})`)
}

function linkWords(row: Extract<Row, { kind: 'link' }>): (string | false | undefined)[] {
  return [
    row.vni !== undefined && `id ${row.vni}`,
    row.udpPort !== undefined && `dstport ${row.udpPort}`,
    row.local && `local ${row.local}`,
    row.inheritDf && 'df inherit',
    row.parent && `link ${row.parent}`,
    row.tag !== undefined && `id ${row.tag}`,
    row.mode && `mode ${row.mode}`,
    row.flag,
    row.inside && `inside ${row.inside.namespace}`,
    row.peer && `peer ${row.peer.name}`,
    row.peer?.inside?.rate && `(tbf ${rateWords(row.peer.inside.rate)})`,
    row.master && `master ${row.master}`,
    row.mac && `address ${row.mac}`,
    row.mtu !== undefined && `mtu ${row.mtu}`,
    row.hairpin && 'hairpin',
    row.isolated && 'isolated',
    row.suppress && 'neigh_suppress',
    row.learning === false && 'nolearning',
    row.locked && 'locked',
    row.flood && 'flood',
    row.adopted && 'adopted',
    row.up ? 'up' : 'down',
  ]
}

const words = (...parts: (string | false | undefined)[]) => parts.filter(Boolean).join(' ')
const fields = (list: readonly string[]) => list.join(' . ')
const valueType = (value: 'verdict' | readonly string[]) => (value === 'verdict' ? value : fields(value))
