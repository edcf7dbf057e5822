// The autograd tape: ops append how their gradients are computed, `backward` goes through them in reverse and sums the gradients of
// activations. Gradients of parameters are added in place by the kernels.
import { expectArguments } from '../checks/arguments.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import { ShapeError, ValidationError } from '../errors.js';
import { add } from '../generated/add.js';
import type { Plan } from '../runtime/plan.js';
import type { Binding } from '../tensor/binding.js';
import { overlap } from '../tensor/binding.js';
import { isDense, viewText } from '../tensor/footprint.js';
import { denseStrides, numel, reshapeView, shapeText, type Tensor, transient } from '../tensor/tensor.js';

/** A recorded op: its name, inputs, output and settings. */
export interface Operation {
  readonly op: string;
  /** Activations and parameters, in the order of the op's own arguments. */
  readonly inputs: readonly Tensor[];
  readonly output: Tensor;
  readonly attributes: Attributes;
  /** The plan's phase when it was recorded. */
  readonly phase: string;
}

/** Ops with a weight (O, …), each output a sum over one of its rows. */
export const weightedOps: readonly string[] = ['conv2d', 'depthwise', 'pointwise', 'linear'];

/** Settings of an op, defaults included. */
export type Attributes = Readonly<Record<string, number | string | boolean>>;

/**
 * One gradient per input; null where none flows, or where a kernel added to the parameter's gradient itself. A gradient returned
 * for a parameter is added to it by the tape.
 */
type Backward = (dy: Tensor) => readonly (Tensor | null)[];

export interface TapeOptions {
  /** Record no backward, like PyTorch's `no_grad`: for frozen encoders and inference. */
  noGrad?: boolean;
  /**
   * Activation checkpointing: batchnorm outputs are not kept for the backward but recomputed there. Less memory, a little more
   * time, the same bits.
   */
  recompute?: boolean;
}

export const tapeOptions: Kinds<TapeOptions> = { noGrad: 'boolean', recompute: 'boolean' };

/** Records ops into a plan, and their backwards in reverse. Only the tape adds up gradients of activations. */
export class Tape {
  readonly plan: Plan;
  readonly noGrad: boolean;
  readonly #operations: Operation[] = [];
  readonly #backwards = new Map<Operation, Backward>();
  /** Where each operation with a backward ended in the plan. */
  readonly #marks = new Map<Operation, number>();
  /** Keyed by `viewOf`, like the maps below: equal views of the same memory are the same tensor. */
  readonly #tracked = new Map<string, Tensor>();
  readonly #leaves = new Set<string>();
  readonly #gradients = new Map<string, Tensor>();
  /** Outputs that `backward` was called on, and tensors that more than one backward reached. */
  readonly #spent = new Set<string>();
  readonly #inParts = new Set<string>();
  readonly #recompute: boolean;
  readonly #recipes = new Map<Tensor['storage'], () => Tensor>();
  readonly #restored = new Map<Tensor['storage'], Tensor>();
  readonly #trained = new Set<Tensor>();

  constructor(plan: Plan, options: TapeOptions = {}) {
    expectArguments('tape', { plan });
    const { noGrad = false, recompute = false } = expectOptions('tape', options, tapeOptions);
    this.plan = plan;
    this.noGrad = noGrad;
    this.#recompute = recompute;
  }

  /** An uninitialized tensor in the plan's transient memory. */
  empty(label: string, shape: readonly number[]): Tensor {
    return transient(this.plan, label, shape);
  }

  /** An uninitialized tensor of the dtype of `x`, f32 or f16. */
  emptyLike(x: Tensor, label: string, shape: readonly number[]): Tensor {
    expectArguments('emptyLike', { x });
    return transient(this.plan, label, shape, x.half ? 'f16' : 'f32');
  }

  /** The ops recorded so far, in order: e.g. for export. */
  get operations(): readonly Operation[] {
    return this.#operations;
  }

  /**
   * Records an op that produced `output`. Without `backward` the output is a constant. Returns `output`.
   */
  record(
    what: string | ({ readonly op: string } & Attributes),
    inputs: readonly Tensor[],
    output: Tensor,
    backward?: Backward,
  ): Tensor {
    const { op, ...attributes } = typeof what === 'string' ? { op: what } : what;
    for (const input of inputs) this.#checkInput(op, input);
    expectArguments(op, { output });
    const operation = { op, inputs, output, attributes, phase: this.plan.currentPhase };
    this.#operations.push(operation);
    if (backward && !this.noGrad && inputs.some((input) => this.requiresGrad(input))) {
      this.#backwards.set(operation, backward);
      this.#marks.set(operation, this.plan.position);
      const key = viewOf(output);
      this.#tracked.set(key, output);
      const tapes = makers.get(this.plan) ?? new Map<string, Tape>();
      makers.set(this.plan, tapes.set(key, this));
    }
    return output;
  }

  /** Registers how to recompute `y` in the backward from tensors that are kept anyway: `again` records the recomputation and returns its result. */
  recomputable(y: Tensor, again: () => Tensor): void {
    if (this.#recompute && !this.noGrad) this.#recipes.set(y.storage, again);
  }

  /** An input of the forward, for the backward to read; recomputed where it was not kept. */
  recompute(x: Tensor): Tensor {
    const again = this.#recipes.get(x.storage);
    if (!again) return x;
    const made = this.#restored.get(x.storage) ?? again();
    this.#restored.set(x.storage, made);
    return { ...x, storage: made.storage };
  }

  /** Marks an input as requiring a gradient. Returns it. */
  requireGrad(x: Tensor): Tensor {
    expectArguments('requireGrad', { x });
    this.#tracked.set(viewOf(x), x);
    this.#leaves.add(viewOf(x));
    return x;
  }

  /** Whether `x` requires a gradient; where not, an op need not compute dx. */
  requiresGrad(x: Tensor): boolean {
    return !this.noGrad && !x.detached && (x.grad !== undefined || this.#tracked.has(viewOf(x)));
  }

  /** The parameters that the backward passes so far add gradients to. */
  get trained(): Iterable<Tensor> {
    return this.#trained;
  }

  /**
   * Appends the backward of all ops that led to `output`, given its gradient `dy` (default ones). The backward of phase P is in
   * phase `backward/P`. Gradients of parameters accumulate, as do those of tensors marked by `requireGrad` when several outputs are
   * differentiated one after another.
   *
   * @throws ValidationError where nothing that led to `output` requires a gradient, where `backward` was already called on it, or where
   * something that the backward reads was overwritten since
   */
  backward(output: Tensor, dy = this.#ones(output)): void {
    expectArguments('backward', { output, dy });
    const key = viewOf(output);
    if (output.detached || !this.#tracked.has(key))
      throw new ValidationError(
        `backward: expected a tensor that this tape made from tensors that require gradients, got ${output.label}, ` +
          `which requires none${this.noGrad ? ': the tape was recorded with noGrad' : ''}`,
      );
    if (this.#spent.has(key))
      throw new ValidationError(
        `backward: already called on ${output.label}, so gradients would count twice; sum the losses and call backward once`,
      );
    if (numel(output.shape) !== numel(dy.shape))
      throw new ShapeError(`backward: expected dy ${shapeText(output.shape)}, got ${shapeText(dy.shape)}`);
    checkGradient('backward: dy', dy, dy.shape);
    this.#spent.add(key);
    this.plan.phase('backward', () => this.#backward(key, dy));
  }

  #ones(output: Tensor): Tensor {
    expectArguments('backward', { output });
    const { shape } = output;
    const ones = this.plan.constant('dy', new Float32Array(numel(shape)).fill(1));
    return { ...ones, label: 'dy', shape, strides: denseStrides(shape) };
  }

  #backward(output: string, dy: Tensor): void {
    const { plan } = this;
    const start = plan.position;
    const pending = new Map([[output, dy]]);
    const found = new Map<string, Tensor>();
    for (const [operation, backward] of [...this.#backwards].reverse()) {
      const { op, inputs, output: y, phase } = operation;
      const gradient = pending.get(viewOf(y));
      if (!gradient) continue;
      // this op produced y, so its gradient is complete; if y is a view equal to its input, the input's gradient starts from zero
      found.set(viewOf(y), gradient);
      pending.delete(viewOf(y));
      const first = plan.position;
      const results = plan.phase(phase, () => backward(gradient));
      plan.assertUnchanged(
        op,
        { first, end: plan.position },
        { first: this.#marks.get(operation) as number, end: start },
      );
      if (results.length !== inputs.length)
        throw new ValidationError(`${op}: expected ${inputs.length} gradients, got ${results.length}`);
      for (const input of inputs) if (input.grad && this.requiresGrad(input)) this.#trained.add(input);
      for (const [i, dx] of results.entries()) {
        const input = inputs[i];
        if (!this.requiresGrad(input)) continue;
        if (!dx) {
          checkTaken(op, input);
          continue;
        }
        checkGradient(`${op}: gradient of ${input.label}`, dx, input.shape);
        const { grad } = input;
        if (grad) {
          plan.phase(phase, () => this.#addTo(grad, dx));
          continue;
        }
        const key = viewOf(input);
        const sum = pending.get(key);
        pending.set(key, sum ? this.accumulate(sum, dx) : dx);
      }
    }
    for (const [key, dx] of new Map([...found, ...pending])) {
      const before = this.#gradients.get(key);
      if (before && !this.#leaves.has(key)) this.#inParts.add(key);
      this.#gradients.set(key, before && this.#leaves.has(key) ? this.accumulate(before, dx) : dx);
    }
  }

  /**
   * The gradient of an activation, after `backward()`.
   *
   * @throws ValidationError where several backwards reached it without `requireGrad`: their sum is not kept
   */
  gradient(x: Tensor): Tensor | undefined {
    expectArguments('gradient', { x });
    const key = viewOf(x);
    if (this.#inParts.has(key))
      throw new ValidationError(
        `gradient: expected one backward to reach ${x.label}, got several; call requireGrad() on it for the sum of its gradients`,
      );
    return this.#gradients.get(key);
  }

  /** Refuses an input that a gradient could not be routed to. */
  #checkInput(op: string, x: Tensor): void {
    expectArguments(op, { input: x });
    checkGrad(op, x);
    if (this.noGrad || x.detached || this.requiresGrad(x)) return;
    const maker = makers.get(this.plan)?.get(viewOf(x));
    if (maker && maker !== this)
      throw new ValidationError(
        `${op}: expected a tensor of this tape, got ${x.label}, which another tape of the plan made; use one tape, ` +
          'or detach() it to use it as a constant',
      );
    const source = [...this.#tracked.values()].find((y) => y.storage === x.storage && overlap(x, y));
    if (source)
      throw new ShapeError(
        `${op}: expected a tensor of the tape, got ${x.label} ${shapeText(x.shape)}, a view of ${source.label} ` +
          `${shapeText(source.shape)} that loses its gradient; use the tape's reshape, or an op that creates the view`,
      );
  }

  /** Adds dx to a parameter's gradient, for ops that return the gradient of an activation. */
  #addTo(grad: Tensor, dx: Tensor): void {
    const n = numel(dx.shape);
    this.plan.dispatch(add, 'accumulate', {
      params: { n },
      bindings: { part: dx, total: grad },
      workgroups: Math.ceil(n / 64),
      bytes: 3 * dx.bytes,
    });
  }

  /** The same elements under another shape. */
  reshape(x: Tensor, shape: readonly number[]): Tensor {
    expectArguments('reshape', { x });
    const y = reshapeView(x, shape);
    // a parameter's gradient is reshaped too and accumulates in place
    return x.grad ? this.record('reshape', [x], y) : this.record('reshape', [x], y, (dy) => [reshapeView(dy, x.shape)]);
  }

  /** a + b, not recorded as an op: the forward of `add`, and the sum of two gradients. */
  accumulate(a: Tensor, b: Tensor): Tensor {
    expectArguments('accumulate', { a, b });
    const y = this.emptyLike(a, 'add.y', a.shape);
    const n = numel(a.shape);
    this.plan.dispatch(add, 'forward', {
      params: { n },
      bindings: { a, b, y },
      workgroups: Math.ceil(n / 256),
      bytes: 2 * a.bytes + b.bytes,
    });
    return y;
  }
}

/** Checks that an input without a returned gradient is a parameter, whose gradient the kernel adds to. */
function checkTaken(op: string, { label, grad }: Tensor): void {
  if (!grad)
    throw new ValidationError(
      `${op}: expected ${label} to be a parameter, or a constant by detach(), got a tensor that requires a gradient, which ` +
        'this op does not compute',
    );
}

/** Checks that a parameter's gradient is the same view as the parameter: kernels add to it by the same strides and lists. */
function checkGrad(op: string, { label, shape, strides, grad, keptRows, keptColumns }: Tensor): void {
  if (!grad) return;
  const alike =
    shapeText(grad.shape) === shapeText(shape) &&
    shapeText(grad.strides) === shapeText(strides) &&
    grad.keptRows?.offset === keptRows?.offset &&
    grad.keptColumns?.offset === keptColumns?.offset;
  if (!alike || grad.half)
    throw new ShapeError(
      `${op}: expected the gradient of ${label} to be a view like its own, f32 ${shapeText(shape)} with strides ` +
        `${shapeText(strides)}, got ${shapeText(grad.shape)} with strides ${shapeText(grad.strides)}`,
    );
}

/** Checks that a gradient has this shape and a layout that kernels can read. */
function checkGradient(what: string, gradient: Tensor, shape: readonly number[]): void {
  if (shapeText(gradient.shape) === shapeText(shape) && isDense(gradient) && !gradient.half) return;
  throw new ShapeError(
    `${what}: expected a dense f32 tensor ${shapeText(shape)}, got ${gradient.half ? 'f16' : 'f32'} ${viewText(gradient)}`,
  );
}

/** The tape that produced a tensor, by plan and view. */
const makers = new WeakMap<Plan, Map<string, Tape>>();

const numbers = new WeakMap<Binding['storage'], number>();
let count = 0;

/** Equal for equal views of the same memory, independent of the objects that describe them. */
function viewOf({ storage, offset, shape, strides, half = false, keptRows, keptColumns }: Tensor): string {
  const number = numbers.get(storage) ?? count++;
  numbers.set(storage, number);
  const lists = [keptRows, keptColumns].map((list) => list?.offset);
  return [number, offset, shape, strides, half, ...lists].join(';');
}
