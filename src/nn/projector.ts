import type { Channels } from '../core/parameters.js';
import { batchNormLayer, linearLayer } from './blocks.js';
import { type Module, sequential } from './module.js';

/**
 * The head h that both encoders share: Linear(F, P), BN, ReLU, Linear(P, P), BN, ReLU, Linear(P, P).
 * Only the input columns of the first Linear are sliced. Names are those of an nn.Sequential.
 */
export function projector(features: Channels, units: number): Module {
  const [first, second] = [0, 1].map(() => ({ host: units, slim: units }));
  return sequential(
    linearLayer('projector.0', features, first),
    batchNormLayer('projector.1', first, { activation: 'relu' }),
    linearLayer('projector.3', first, second),
    batchNormLayer('projector.4', second, { activation: 'relu' }),
    linearLayer('projector.6', second, units),
  );
}
