import { expectOptions } from '../checks/options.js';
import { ConfigError } from '../errors.js';
import type { Kernel } from '../runtime/kernel.js';
import type { KernelOf } from './infer.js';
import { reflect } from './reflect.js';

export interface KernelOptions {
  /** What labels, profiles and messages call it. */
  name?: string;
}

/**
 * A kernel of your own: reads out of WGSL what `plan.dispatch` binds and packs by. Where the code is a literal, a dispatch's entry
 * point, parameters, bindings and constants are checked by their names as it is compiled; in any case they are when it is recorded.
 *
 * @param code WGSL; docs/api/kernels.md describes its form
 * @throws ValidationError by the kernel's name and the line where the code is not of that form
 */
export function kernel<Code extends string>(code: Code, options?: KernelOptions): KernelOf<Code>;
export function kernel(code: string, options: KernelOptions = {}): Kernel {
  const { name = 'kernel' } = expectOptions('kernel', options, { name: 'string' });
  if (typeof code !== 'string') throw new ConfigError(`kernel: expected WGSL as a string, got ${typeof code}`);
  if (!/^\w+$/.test(name))
    throw new ConfigError(`kernel: expected a name of letters, digits and _, got ${JSON.stringify(name)}`);
  return { stem: name, code, ...reflect(`kernel "${name}"`, code) };
}
