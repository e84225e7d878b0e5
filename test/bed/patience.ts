/** How many times longer than on this machine itself things may take: test/vm.ts runs suites where every system call costs more. */
export const patience = Number(process.env.TEST_PATIENCE ?? 1)
