import { isIP } from 'node:net'
import { Refused } from '../core/errors.ts'

/** `10.0.0.7`, `10.0.0.7:7947`, `fd00::7`, `[fd00::7]:7947`; the port is the usual one where none is given. Refused names the setting. */
export function readEndpoint(
  setting: string,
  text: string,
  usual: number,
): { address: string; port: number } {
  const [, inner, plain, port] = /^(?:\[(.+)\]|([^:]+|.*:.*:.*?))(?::(\d+))?$/.exec(text) ?? []
  const address = isIP(text) ? text : (inner ?? plain ?? '')
  if (!isIP(address))
    throw new Refused(`${setting} can't be "${text}": it has to be an address, with or without a port`)
  return { address, port: isIP(text) || !port ? usual : readPort(setting, port) }
}

/** Refused for what is no port. */
export function readPort(setting: string, text: string): number {
  const port = Number(text)
  if (/^\d+$/.test(text) && port >= 1 && port <= 65535) return port
  throw new Refused(`${setting} can't have the port "${text}": it has to be 1 to 65535`)
}
