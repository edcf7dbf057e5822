// What a device prints and checks when it is opened with one: plans as text, numbers that are not finite, the WGSL of pipelines. Devices
// and plans know its type alone, so that a program that does not debug does not carry it. src/node reads SLIMGRAD_DEBUG.
import { expectOneOf } from '../checks/one_of.js';
import { NonFiniteError } from '../errors.js';
import { describe } from './describe.js';
import { Checks, type Compiled } from './nonfinite.js';

/**
 * What a device prints and checks: 1, each plan when it is compiled, as `describe` gives it; 2, also all numbers that dispatches
 * write: the first NaN or infinity of a run is a NonFiniteError of what next waits for the device, or of the next run; 3, also the
 * WGSL of each pipeline, with its constants as they are set.
 */
export class Debug {
  readonly #level: number;
  readonly #print: (text: string) => void;
  readonly #pending = new Set<Promise<void>>();
  #found: NonFiniteError | undefined;

  /**
   * @param print takes what is printed
   * @throws ConfigError where the level is none of 1, 2 and 3
   */
  constructor(level: 1 | 2 | 3, print: (text: string) => void = (text) => console.error(text)) {
    expectOneOf('debug: level', level, [1, 2, 3]);
    this.#level = level;
    this.#print = print;
  }

  /** Prints a compiled plan; from level 2 on gives what runs it in place of a replay. */
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

  /** Follows the check of a run; the first that fails is thrown by `settled` or `rethrow`. */
  follow(check: Promise<void>): void {
    const followed = check
      .catch((error: unknown) => {
        // what else can fail is the device itself, which says so
        if (error instanceof NonFiniteError) this.#found ??= error;
      })
      .finally(() => this.#pending.delete(followed));
    this.#pending.add(followed);
  }

  /** Awaits GPU work and the checks of all runs that were submitted before. @throws what the first of them found, once */
  async settled<T>(pending: Promise<T>): Promise<T> {
    const [value] = await Promise.all([pending, ...this.#pending]);
    this.rethrow();
    return value;
  }

  /** @throws what a check found, once */
  rethrow(): void {
    const found = this.#found;
    this.#found = undefined;
    if (found) throw found;
  }
}
