import { expectArguments } from '../checks/arguments.js';
import { expectOptions } from '../checks/options.js';
import { ShapeError } from '../errors.js';
import { ema as kernel } from '../generated/ema.js';
import type { Plan } from '../runtime/plan.js';
import { shapeText } from '../tensor/tensor.js';
import { expectTrainable, spanOf, spans, type Trainable, within } from './optimizer.js';

/** Weights in a single buffer (`Parameters`). */
export type Averaged = Pick<Trainable, 'weights' | 'places' | 'size'>;

export interface EmaOptions {
  /** m, from 0 up to 1; default the step's `ema`, for an m that is scheduled (`emaMomentum`). */
  momentum?: number;
}

/**
 * Records the EMA update target ← m·target + (1 − m)·source, as for the key encoder of MoCo and the target network of
 * BYOL. The target's tensors correspond to the source's, or to its first ones: a predictor that follows has no average.
 * Running statistics are not averaged.
 *
 * @throws ShapeError if the target's tensors are not the source's first ones, ConfigError if m is not from 0 to 1
 */
export function ema(plan: Plan, target: Averaged, source: Averaged, options: EmaOptions = {}): void {
  const { momentum } = expectOptions('ema', options, { momentum: 'number' });
  expectArguments('ema', { plan });
  for (const each of [target, source]) expectTrainable('ema', each, false);
  if (momentum === undefined) plan.needs('ema', 'ema');
  else within('ema', { momentum }, 0, 1);
  for (const [i, { name, shape, offset }] of target.places.entries()) {
    const from = source.places[i];
    if (from?.offset !== offset || shapeText(from.shape) !== shapeText(shape))
      throw new ShapeError(
        `ema: expected the target's tensors to be the source's first ones, got ${name} ${shapeText(shape)} ` +
          `against ${from ? `${from.name} ${shapeText(from.shape)}` : 'none'}`,
      );
  }
  for (const span of spans(plan.device, target)) {
    const quads = span.size / 4;
    plan.dispatch(kernel, 'update', {
      params: { quads, momentum: momentum ?? 0, scheduled: momentum === undefined ? 1 : 0 },
      bindings: { source: spanOf(source.weights, span), average: spanOf(target.weights, span) },
      workgroups: Math.ceil(quads / kernel.consts.THREADS.value),
      bytes: 12 * span.size,
    });
  }
}
