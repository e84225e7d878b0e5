import { CniError, CODE } from './errors.ts'

/** What runtimes may ask for, the oldest first. 0.2 and older have another form of result and no lists of plugins. */
export const versions = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const
export type Version = (typeof versions)[number]
export const newest: Version = '1.1.0'

export function checkedVersion(text: string): Version {
  const version = versions.find(each => each === text)
  if (version) return version
  throw new CniError(CODE.version, `cniVersion "${text}" is not spoken here, only ${versions.join(', ')}`)
}

export const isBefore = (version: Version, other: Version): boolean =>
  versions.indexOf(version) < versions.indexOf(other)
