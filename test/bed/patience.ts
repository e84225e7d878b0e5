/** How many times longer than on this machine itself things may take: test/vm.ts runs suites where every system call costs more. */
export const patience = Number(process.env.TEST_PATIENCE ?? 1)

/** Of kubectl: how long it waits. */
export const timeout = (seconds: number) => `--timeout=${seconds * patience}s`
