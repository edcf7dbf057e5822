import { expectArguments, expectTensors } from '../checks/arguments.js';
import type { Tape } from '../core/tape.js';
import { ConfigError } from '../errors.js';
import { add } from '../ops/add.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Objective } from './method.js';
import type { Network } from './network.js';

/**
 * Records the backward of the sum of all losses, scalars by name. Each is told by its name, the sum as `loss`.
 *
 * @param losses (1) each, made on `tape`
 * @param rest what is watched for collapse, (N, D) each, and what is recorded after the weights are updated
 * @throws ValidationError where no parameter led to any of them, as on a frozen tape
 */
export function minimize(
  tape: Tape,
  network: Network,
  losses: Readonly<Record<string, Tensor>>,
  rest: Pick<Objective, 'watched' | 'update'>,
): Objective {
  expectArguments('minimize', { tape });
  expectTensors('minimize', { ...losses, ...rest?.watched });
  if (Object.keys(losses).length === 0)
    throw new ConfigError('minimize: expected at least one loss by its name, got none');
  const { plan } = tape;
  const total = Object.values(losses).reduce((sum, loss) => add(tape, sum, loss));
  tape.backward(total, network.one);
  for (const kept of [...Object.values(losses), ...Object.values(rest.watched)]) plan.keep(kept);
  return {
    ...rest,
    figures: losses,
    summarize(figures) {
      const parts = Object.entries(figures).map(([name, [value]]) => [name, value] as const);
      return { ...Object.fromEntries(parts), loss: parts.reduce((sum, [, value]) => sum + value, 0) };
    },
  };
}
