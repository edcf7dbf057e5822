// Debug output and checks of a device: plans as text, values that are not finite, the WGSL of pipelines. Devices and plans
// import only its type, so that it is bundled only into programs that use it. src/node reads SLIMGRAD_DEBUG.
import { expectOneOf } from '../checks/one_of.js';
import { NonFiniteError } from '../errors.js';
import { describe } from './describe.js';
import { Checks, type Compiled } from './nonfinite.js';

/**
 * What a device prints and checks: 1, each plan when it is compiled, as `describe` gives it; 2, also checks all numbers that
 * dispatches write: the next call that waits for the device, or the next run, throws a NonFiniteError for the first NaN or
 * infinity; 3, also prints the WGSL of each pipeline with its constants.
 */
export class Debug {
  readonly #level: number;
  readonly #print: (text: string) => void;
  readonly #pending = new Set<Promise<void>>();
  #found: NonFiniteError | undefined;

  /**
   * @param print receives the output
   * @throws ConfigError where the level is not 1, 2 or 3
   */
  constructor(level: 1 | 2 | 3, print: (text: string) => void = (text) => console.error(text)) {
    expectOneOf('debug: level', level, [1, 2, 3]);
    this.#level = level;
    this.#print = print;
  }

  /** Prints a compiled plan; from level 2 on, returns what runs it in place of a replay. */
  async compiled(plan: Compiled): Promise<Checks | undefined> {
    this.#print(describe(plan));
    return this.#level > 1 ? Checks.make(plan, this) : undefined;
  }

  /** Prints the WGSL of a pipeline from level 3 on. */
  compiles(label: string, code: string): void {
    if (this.#level < 3) return;
    const lines = code.split('\n');
    const width = String(lines.length).length;
    const numbered = lines.map((line, i) => `${String(i + 1).padStart(width)} ${line}`.trimEnd());
    this.#print([`WGSL of ${label}:`, ...numbered].join('\n'));
  }

  /** Awaits the check of a run in the background; `settled` or `rethrow` throws the first failure. */
  follow(check: Promise<void>): void {
    const followed = check
      .catch((error: unknown) => {
        // other failures are the device's, which reports them
        if (error instanceof NonFiniteError) this.#found ??= error;
      })
      .finally(() => this.#pending.delete(followed));
    this.#pending.add(followed);
  }

  /** Awaits GPU work and the checks of all runs that were submitted before. @throws the first failure, once */
  async settled<T>(pending: Promise<T>): Promise<T> {
    const [value] = await Promise.all([pending, ...this.#pending]);
    this.rethrow();
    return value;
  }

  /** @throws the failure of a check, once */
  rethrow(): void {
    const found = this.#found;
    this.#found = undefined;
    if (found) throw found;
  }
}
