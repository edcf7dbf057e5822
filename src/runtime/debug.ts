// What a device's option `debug` prints and checks: plans as text, numbers that are not finite, the WGSL of pipelines. It is loaded
// only where the option is given, and knows no environment: src/node reads SLIMGRAD_DEBUG.
import { NonFiniteError } from '../errors.js';
import type { Recorded } from './commands.js';
import { describe } from './describe.js';
import { Checks, type Target } from './nonfinite.js';

export class Debug {
  readonly #level: number;
  readonly #print: (text: string) => void;
  readonly #pending = new Set<Promise<void>>();
  #found: NonFiniteError | undefined;

  constructor(level: number, print: (text: string) => void) {
    this.#level = level;
    this.#print = print;
  }

  /** Prints a compiled plan; from level 2 on gives what runs it in place of a replay. */
  async compiled(plan: Recorded, device: Target): Promise<Checks | undefined> {
    this.#print(describe(plan));
    return this.#level > 1 ? Checks.make(plan, device, this) : undefined;
  }

  showCode(label: string, code: string): void {
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
