// Preloaded into every node process (NODE_OPTIONS), for two faults of Prisma's JavaScript schema engine that
// cannot be reached from its configuration. Promises: processes that are not the Prisma CLI notice nothing.

// 1. The timers of its lock timeouts (10 s, or 60 s) run on after a command, which would sit them out before
// it exits. Unreferenced, they still fire in a process that has other work, and keep none alive that has not.
const LOCK_TIMEOUTS_MS = [10_000, 60_000];

const setReferencedTimeout = globalThis.setTimeout;
const setTimeout = function setTimeout(callback, delay, ...args) {
  const timer = setReferencedTimeout(callback, delay, ...args);
  if (LOCK_TIMEOUTS_MS.includes(delay)) timer.unref();
  return timer;
};
// util.promisify looks for the original's own properties.
Object.defineProperties(setTimeout, Object.getOwnPropertyDescriptors(setReferencedTimeout));
globalThis.setTimeout = setTimeout;

// 2. `migrate dev --create-only` stops its engine twice: the migration is written, then "null pointer passed
// to rust" fails the command. Freeing nothing is made to do nothing.
WebAssembly.Instance = class Instance extends WebAssembly.Instance {
  constructor(...args) {
    super(...args);
    const free = super.exports.__wbg_schemaengine_free;
    if (!free) return;
    const exports = { ...super.exports, __wbg_schemaengine_free: (pointer, ...rest) => pointer && free(pointer, ...rest) };
    Object.defineProperty(this, "exports", { value: exports });
  }
};
