import type { Parameters, ParameterView } from '../core/parameters.js';
import { digestOf } from '../core/state.js';
import { Tape } from '../core/tape.js';
import type { Encoder } from '../encoders/encoder.js';
import { ConfigError } from '../errors.js';
import type { Pass } from '../nn/module.js';
import { l2Normalize } from '../ops/l2_normalize.js';
import type { Tensor } from '../tensor/tensor.js';

/** A frozen, trained encoder to learn from, with its running statistics. An `ImageEncoder` is one. */
export interface Teacher {
  readonly backbone: Encoder;
  /** Holds the backbone's tensors at its host's width. */
  readonly parameters: ParameterView & Pick<Parameters, 'read'>;
}

/**
 * A teacher's features (N, F) of a view (N, 3, H, W), rows of length 1, by its running statistics. No gradient flows: only the
 * tape's plan is used.
 *
 * @throws ConfigError if there is no teacher, or it needs larger images
 */
export function teacherFeatures({ plan }: Pick<Tape, 'plan'>, teacher: Teacher | undefined, x: Tensor): Tensor {
  if (!teacher) throw new ConfigError('teacher (--teacher): expected a trained encoder to learn from, got none');
  const { backbone, parameters } = teacher;
  const size = Math.min(x.shape[2], x.shape[3]);
  if (size < backbone.stride)
    throw new ConfigError(
      `teacher (--teacher): expected images of at least ${backbone.stride} pixels, its encoder's stride, got ${size}; ` +
        'use a larger imageSize (--image-size), or another teacher',
    );
  const tape = new Tape(plan, { noGrad: true });
  const pass: Pass = { tape, parameters, width: 'host', training: false, updateStats: false };
  return plan.phase('teacher', () => l2Normalize(tape, backbone.forward(pass, x)));
}

/** A fingerprint of a teacher's weights and running statistics. */
export async function fingerprint({ parameters }: Teacher): Promise<Float32Array> {
  return Float32Array.from(digestOf(await parameters.read()));
}
