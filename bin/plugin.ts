import { readFileSync } from 'node:fs'
import Docker from 'dockerode'

/** What Docker calls us as a managed plugin; undefined where we aren't one. Throws what dockerode throws; never call it while serving. */
export async function pluginName(socketPath: string): Promise<string | undefined> {
  const id = pluginId(readFileSync('/proc/self/mountinfo', 'utf8'))
  if (id === undefined) return undefined
  const { Name } = await new Docker({ socketPath, timeout: 20_000 }).getPlugin(id, id).inspect()
  return Name
}

/**
 * Docker mounts a folder that is named after the plugin's id on the one of the sockets. Of a line of mountinfo (proc_pid_mountinfo(5)) the
 * fourth field is the mounted folder, the fifth its place.
 */
export const pluginId = (mountinfo: string): string | undefined =>
  /^\S+ \S+ \S+ \S*\/docker\/plugins\/([0-9a-f]{64}) \/run\/docker\/plugins /m.exec(mountinfo)?.[1]
