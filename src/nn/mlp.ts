import { expectOptions, type Kinds } from '../checks/options.js';
import { type Channels, parameter } from '../core/parameters.js';
import { activation } from '../ops/activation.js';
import { l2Normalize } from '../ops/l2_normalize.js';
import { linear } from '../ops/linear.js';
import { batchNormLayer, linearLayer } from './blocks.js';
import { uniformFanIn } from './init.js';
import { type Module, sequential } from './module.js';

export interface MlpOptions {
  /** Units of the hidden layer, P. */
  hidden: number;
  /** Length of the output, D. */
  output: number;
  batchnorm?: boolean;
}

const mlpOptions: Kinds<MlpOptions> = { hidden: 'number', output: 'number', batchnorm: 'boolean' };

/**
 * A head of two layers: Linear(F, P), ReLU, Linear(P, D), optionally with batchnorm before the ReLU. Names are those of an
 * nn.Sequential.
 */
export function mlp(name: string, features: Channels, options: MlpOptions): Module {
  const { hidden: units, output, batchnorm = false } = expectOptions(name, options, mlpOptions);
  const hidden = { host: units, slim: units };
  const first = linearLayer(`${name}.0`, features, hidden);
  return batchnorm
    ? sequential(
        first,
        batchNormLayer(`${name}.1`, hidden, { activation: 'relu' }),
        linearLayer(`${name}.3`, hidden, output),
      )
    : sequential(first, relu, linearLayer(`${name}.2`, hidden, output));
}

/** L2 normalization of rows: embeddings on the unit sphere. */
export const l2NormalizeLayer: Module = {
  parameters: [],
  statistics: [],
  forward: ({ tape }, x) => l2Normalize(tape, x),
};

const relu: Module = { parameters: [], statistics: [], forward: ({ tape }, x) => activation(tape, x, 'relu') };

/** Linear(D, O) without a bias, weight (O, D): an adaptor between embeddings of two sizes, or O prototypes. */
export function linearNoBias(name: string, input: number, output: number): Module {
  const weight = `${name}.weight`;
  return {
    parameters: [parameter(weight, [output, input], uniformFanIn(input))],
    statistics: [],
    forward: ({ tape, parameters, width }, x) => linear(tape, x, parameters.tensor(weight, width)),
  };
}
