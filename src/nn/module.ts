import { expectModuleState } from '../core/parameter.js';
import type { ModuleState, ParameterView, Width } from '../core/parameters.js';
import type { Tape } from '../core/tape.js';
import { ConfigError } from '../errors.js';
import type { Tensor } from '../tensor/tensor.js';

/** One pass of a network over a batch: its tape, its width, and the mode of batchnorm. */
export interface Pass {
  readonly tape: Tape;
  readonly parameters: ParameterView;
  readonly width: Width;
  /** Use batch statistics (true) or running ones (false). */
  readonly training: boolean;
  /** Whether running statistics are updated; frozen passes do not. */
  readonly updateStats: boolean;
  /** Overrides each layer's momentum: the weight of the batch in the updated running statistics. */
  readonly momentum?: number;
}

/** A part of a network: its tensors, and its forward pass at either width. */
export interface Module extends ModuleState {
  forward(pass: Pass, x: Tensor): Tensor;
}

/** @throws ConfigError, in the name of `where`, if it is not a module */
export function expectModule(where: string, module: unknown): void {
  expectModuleState(where, module);
  if (typeof Object(module).forward !== 'function')
    throw new ConfigError(`${where}: expected a module, with a function forward(pass, x), got one without`);
}

/** Modules applied one after another. */
export function sequential(...modules: readonly Module[]): Module {
  for (const module of modules) expectModule('sequential', module);
  return {
    parameters: modules.flatMap((module) => module.parameters),
    statistics: modules.flatMap((module) => module.statistics),
    forward: (pass, x) => modules.reduce((y, module) => module.forward(pass, y), x),
  };
}

/** A module whose tensors are named `scope`.NAME, so that a network can contain two of the same kind. */
export function prefixed<M extends Module>(scope: string, module: M): M {
  expectModule(scope, module);
  const inScope = (name: string) => `${scope}.${name}`;
  const renamed = <T extends { readonly name: string }>(owned: T): T => ({ ...owned, name: inScope(owned.name) });
  return {
    ...module,
    parameters: module.parameters.map(renamed),
    statistics: module.statistics.map(renamed),
    forward(pass: Pass, x: Tensor) {
      const parameters: ParameterView = {
        tensor: (name, width) => pass.parameters.tensor(inScope(name), width),
        statistic: (name, width) => pass.parameters.statistic(inScope(name), width),
      };
      return module.forward({ ...pass, parameters }, x);
    },
  };
}
