/** A packet or stream that no peer of ours would send. It costs that packet or stream, nothing more. */
export class Malformed extends Error {
  override name = 'Malformed'
}

/** The bytes end too early: of a packet that is malformed, of a stream the rest may still come. */
export class Truncated extends Malformed {
  override name = 'Truncated'
}

/** What a decoder gives back, with a malformed input as a value; any other error is ours and goes on. */
export function attempt<T>(decode: () => T): T | Malformed {
  try {
    return decode()
  } catch (error) {
    if (error instanceof Malformed) return error
    throw error
  }
}
