import { expectOptions, type Kinds } from '../checks/options.js';
import { type Activation, activation, checkActivation } from '../ops/activation.js';
import { add } from '../ops/add.js';
import { expectModule, type Module } from './module.js';

export interface ResidualOptions {
  /** Maps x to the body's shape; default identity. */
  shortcut?: Module;
  /** Applied to the sum. */
  activation?: Activation;
}

const residualOptions: Kinds<ResidualOptions> = { shortcut: 'object', activation: 'string' };

/** act(body(x) + shortcut(x)). */
export function residual(body: Module, options: ResidualOptions = {}): Module {
  const { shortcut, activation: act = 'none' } = expectOptions('residual', options, residualOptions);
  checkActivation('residual: activation', act);
  const parts = shortcut ? [body, shortcut] : [body];
  for (const part of parts) expectModule('residual', part);
  return {
    parameters: parts.flatMap(({ parameters }) => parameters),
    statistics: parts.flatMap(({ statistics }) => statistics),
    forward(pass, x) {
      const y = body.forward(pass, x);
      return activation(pass.tape, add(pass.tape, y, shortcut ? shortcut.forward(pass, x) : x), act);
    },
  };
}
