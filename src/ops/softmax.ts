// softmax and cross-entropy of logits.
import { expectArguments } from '../checks/arguments.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import { Tape } from '../core/tape.js';
import { ConfigError, ShapeError } from '../errors.js';
import { softmax as kernel } from '../generated/softmax.js';
import type { DispatchOptions } from '../runtime/commands.js';
import type { EntryName } from '../runtime/kernel.js';
import type { Plan } from '../runtime/plan.js';
import type { Binding } from '../tensor/binding.js';
import { shapeText, type Tensor, transient } from '../tensor/tensor.js';
import { mul, scale, sub } from './elementwise.js';
import { sum } from './reduce.js';
import { overRows, rowForms } from './reduction_width.js';

export interface CrossEntropyOptions {
  /** τ: logits are divided by it. */
  temperature?: number;
  /** Weight of the loss in a sum of losses. */
  scale?: number;
}

const softmaxOptions: Kinds<Pick<CrossEntropyOptions, 'temperature'>> = { temperature: 'number' };
const crossEntropyOptions: Kinds<CrossEntropyOptions> = { ...softmaxOptions, scale: 'number' };

/**
 * softmax(logits / τ) of each row. Compute a teacher's distribution on a noGrad tape, or from `detach`ed logits.
 *
 * @param logits (N, L)
 * @returns (N, L), rows that sum to 1
 * @throws ShapeError if logits are not a matrix, ConfigError if τ is not above 0
 */
export function softmax(tape: Tape, logits: Tensor, options: { temperature?: number } = {}): Tensor {
  expectArguments('softmax', { tape, logits });
  const { temperature = 1 } = expectOptions('softmax', options, softmaxOptions);
  const { plan } = tape;
  const rows = rowsOf('softmax', logits, temperature);
  const sums = transient(plan, 'softmax.sums', [rows.N, 4]);
  const p = transient(plan, 'softmax.p', logits.shape);
  dispatch(plan, 'sums_alone', rows, { x: logits, sums_out: sums });
  dispatch(plan, 'probabilities', rows, { x: logits, sums, p });
  return tape.record({ op: 'softmax', temperature }, [logits], p, (dy) => {
    const noGradTape = new Tape(plan, { noGrad: true });
    const mean = sum(noGradTape, mul(noGradTape, dy, p), { dim: 1, keepdim: true }); // of dy by row, weighted by p
    return [scale(noGradTape, mul(noGradTape, sub(noGradTape, dy, mean), p), 1 / temperature)];
  });
}

/**
 * The mean over the rows of −Σ_k t_nk log softmax(logits / τ)_nk, times `scale`: InfoNCE, distillation of a distribution, or
 * classification. Large logits do not overflow: the maximum of each row is subtracted first.
 *
 * @param logits (N, L)
 * @param targets constants: (N, L), a distribution for each row; or (N), i32 or u32, the class of each row; default class 0, as
 * in logits whose column 0 is the positive. A row whose class is outside 0..L−1 has no loss and gets no gradient (the mean is
 * still over N), so a batch may be padded.
 * @returns the loss (1)
 * @throws ShapeError if the shapes do not match, ConfigError if τ is not above 0
 */
export function softmaxCrossEntropy(
  tape: Tape,
  logits: Tensor,
  targets?: Tensor,
  options: CrossEntropyOptions = {},
): Tensor {
  expectArguments('softmaxCrossEntropy', { tape, logits, ...(targets !== undefined && { targets }) });
  const { temperature = 1, scale = 1 } = expectOptions('softmaxCrossEntropy', options, crossEntropyOptions);
  const rows = { ...rowsOf('softmaxCrossEntropy', logits, temperature), scale };
  const { N, L } = rows;
  if (!Number.isFinite(scale)) throw new ConfigError(`softmaxCrossEntropy: expected a finite scale, got ${scale}`);
  if (targets && ![shapeText([N, L]), shapeText([N])].includes(shapeText(targets.shape)))
    throw new ShapeError(
      `softmaxCrossEntropy: expected targets ${shapeText([N, L])} or classes ${shapeText([N])} ` +
        `for logits ${shapeText([N, L])}, got ${shapeText(targets.shape)}`,
    );
  const { plan } = tape;
  const given =
    targets?.shape.length === 2 ? ({ targets } as const) : ({ classes: classesOf(plan, N, targets) } as const);

  const sums = tape.empty('softmaxCrossEntropy.sums', [N, 4]);
  const loss = tape.empty('softmaxCrossEntropy.loss', [1]);
  const out = { x: logits, sums_out: sums };
  if (given.targets) dispatch(plan, 'sums_with_targets', rows, { ...out, targets: given.targets });
  else dispatch(plan, 'sums_with_classes', rows, { ...out, classes: given.classes });
  dispatch(plan, 'mean_loss', rows, { sums, loss });
  return tape.record('softmaxCrossEntropy', [logits], loss, (dloss) => {
    const dx = tape.empty('softmaxCrossEntropy.dx', logits.shape);
    const bindings = { x: tape.recompute(logits), sums, dloss, dx };
    if (given.targets) dispatch(plan, 'backward_input_targets', rows, { ...bindings, targets: given.targets });
    else dispatch(plan, 'backward_input_classes', rows, { ...bindings, classes: given.classes });
    return [dx];
  });
}

interface Rows {
  readonly N: number;
  readonly L: number;
  readonly inverse: number;
  readonly scale: number;
}

function rowsOf(op: string, { shape }: Tensor, temperature: number): Rows {
  const [N, L] = shape;
  if (shape.length !== 2 || N * L === 0)
    throw new ShapeError(`${op}: expected logits (N, L), all above 0, got ${shapeText(shape)}`);
  if (!(temperature > 0 && Number.isFinite(1 / temperature)))
    throw new ConfigError(`${op}: expected a temperature above 0, got ${temperature}`);
  return { N, L, inverse: 1 / temperature, scale: 1 };
}

/** The rows' classes as the kernel reads them: a negative i32 is out of range as a u32 too. Default class 0. */
function classesOf(plan: Plan, N: number, given?: Tensor): Tensor {
  if (given) return given.integer === 'i32' ? { ...given, integer: 'u32' } : given;
  const classes = transient(plan, 'softmaxCrossEntropy.classes', [N], 'u32');
  plan.clear(classes);
  return classes;
}

/** Dispatches an entry point over the rows, `mean_loss` over the single row of all losses. */
function dispatch<E extends EntryName<typeof kernel>>(
  plan: Plan,
  entry: E,
  rows: Rows,
  bindings: DispatchOptions<typeof kernel, E>['bindings'],
): void {
  const { N, L } = rows;
  const [count, columns] = entry === 'mean_loss' ? [1, N] : [N, L];
  const bytes = Object.values<Binding>(bindings).reduce((sum, binding) => sum + binding.bytes, 0);
  plan.choose(`softmax.${entry}`, rowForms(plan.device.software, columns), (form, plan) => {
    const { half, ...common } = overRows(form, count);
    plan.dispatch(kernel, entry, { ...common, params: { ...rows, half }, bindings, bytes });
  });
}
