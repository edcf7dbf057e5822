import { expectModuleState } from '../core/parameter.js';
import type { ModuleState, ParameterView, Width } from '../core/parameters.js';
import type { Tape } from '../core/tape.js';
import { ConfigError } from '../errors.js';
import type { Tensor } from '../tensor/tensor.js';

/** One pass of a network over a batch: on which tape, at which width, and what batchnorm does. */
export interface Pass {
  readonly tape: Tape;
  readonly parameters: ParameterView;
  readonly width: Width;
  /** Batch statistics (true) or running ones (false). */
  readonly training: boolean;
  /** Whether running statistics move; the frozen passes leave them alone. */
  readonly updateStats: boolean;
  /** The batch's share in the new running statistics, where it is not to be each layer's own. */
  readonly momentum?: number;
}

/** A part of a network: what it owns, and how it computes at either width. */
export interface Module extends ModuleState {
  forward(pass: Pass, x: Tensor): Tensor;
}

/** @throws ConfigError, in the name of `where`, where something else is given as a module */
export function expectModule(where: string, module: unknown): void {
  expectModuleState(where, module);
  if (typeof Object(module).forward !== 'function')
    throw new ConfigError(`${where}: expected a module, with a function forward(pass, x), got one without`);
}

/** Modules in a row. */
export function sequential(...modules: readonly Module[]): Module {
  for (const module of modules) expectModule('sequential', module);
  return {
    parameters: modules.flatMap((module) => module.parameters),
    statistics: modules.flatMap((module) => module.statistics),
    forward: (pass, x) => modules.reduce((y, module) => module.forward(pass, y), x),
  };
}

/** A module whose tensors are named `scope`.NAME, so that two of a kind can lie in one network. */
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
