import type { Encoder } from '../encoders/encoder.js';
import { ConfigError } from '../errors.js';
import type { Pass } from '../nn/module.js';
import { normalizeRows } from '../ops/normalize_rows.js';
import type { Weights } from '../parameters.js';
import type { Plan } from '../runtime/plan.js';
import { Tape } from '../tape.js';
import type { Tensor } from '../tensor.js';

/** A frozen encoder to learn from: a trained one, with the running statistics that it has. An `ImageEncoder` is one. */
export interface Teacher {
  readonly backbone: Encoder;
  /** Holds the backbone's tensors at its host's width. */
  readonly parameters: Weights;
}

/**
 * A teacher's features of a view (N, F), rows of length 1, by its running statistics. No gradient flows.
 *
 * @throws ConfigError where there is no teacher
 */
export function teach(plan: Plan, teacher: Teacher | undefined, x: Tensor): Tensor {
  if (!teacher) throw new ConfigError('teacher (--teacher): expected a trained encoder to learn from, got none');
  const tape = new Tape(plan, { frozen: true });
  const { backbone, parameters } = teacher;
  const pass: Pass = { tape, parameters, width: 'host', training: false, updateStats: false };
  return plan.phase('teacher', () => normalizeRows(tape, backbone.forward(pass, x)));
}
