import { until } from '../bed/until.ts'
import type { Container } from './container.ts'

/** Does something that containers don't survive, and waits until Docker has started them again. */
export async function again(containers: readonly Container[], work: () => Promise<void>): Promise<void> {
  const started = async (one: Container) => (await one.inspect()).State.StartedAt
  const before = await Promise.all(containers.map(started))
  await work()
  for (const [index, one] of containers.entries()) {
    await until(
      `${one.name} to be started again`,
      async () => {
        const { State } = await one.inspect()
        return State.Running && !State.Restarting && State.Pid > 0 && State.StartedAt !== before[index]
      },
      { deadline: 60_000 },
    )
    await one.serves()
  }
}
