import type { Space } from './pools.ts'

/** What Docker calls our two books. It stores these names with each network. */
export const addressSpaces = { local: 'tsnet-local', global: 'tsnet-global' } as const

export function spaceOf(name: (typeof addressSpaces)[keyof typeof addressSpaces]): Space {
  return name === addressSpaces.local ? 'local' : 'global'
}
