import { expectArguments, expectTensors } from '../checks/arguments.js';
import type { Tape } from '../core/tape.js';
import { ConfigError } from '../errors.js';
import { add } from '../ops/add.js';
import type { Tensor } from '../tensor/tensor.js';
import type { StepOutputs } from './method.js';

/**
 * Records the backward of the sum of all losses. Each is logged under its name, the sum as `loss`.
 *
 * @param losses (1) each, made on `tape`
 * @param rest `embeddings`, (N, D) each, and `update`, which records what follows the update of the weights
 * @throws ValidationError where no parameter led to any of them, as on a tape with noGrad
 */
export function minimize(
  tape: Tape,
  losses: Readonly<Record<string, Tensor>>,
  rest: Pick<StepOutputs, 'embeddings' | 'update'>,
): StepOutputs {
  expectArguments('minimize', { tape });
  expectTensors('minimize', { ...losses, ...rest?.embeddings });
  if (Object.keys(losses).length === 0)
    throw new ConfigError('minimize: expected at least one loss by its name, got none');
  const { plan } = tape;
  const total = Object.values(losses).reduce((sum, loss) => add(tape, sum, loss));
  tape.backward(total);
  for (const kept of [...Object.values(losses), ...Object.values(rest.embeddings)]) plan.retain(kept);
  return {
    ...rest,
    metrics: losses,
    summarize(metrics) {
      const parts = Object.entries(metrics).map(([name, [value]]) => [name, value] as const);
      return { ...Object.fromEntries(parts), loss: parts.reduce((sum, [, value]) => sum + value, 0) };
    },
  };
}
