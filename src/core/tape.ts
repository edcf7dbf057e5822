import { expectArguments } from '../checks/arguments.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import { ShapeError, ValidationError } from '../errors.js';
import { add } from '../generated/add.js';
import type { Plan } from '../runtime/plan.js';
import type { Binding } from '../tensor/binding.js';
import { overlap } from '../tensor/binding.js';
import { isDense, viewText } from '../tensor/footprint.js';
import { denseStrides, numel, reshape, shapeText, type Tensor, transient } from '../tensor/tensor.js';

/** What an op did: its name, what it read and made, and its settings. */
export interface Operation {
  readonly op: string;
  /** Activations and parameters, in the order of the op's own arguments. */
  readonly inputs: readonly Tensor[];
  readonly output: Tensor;
  readonly attributes: Attributes;
  /** The plan's, while it was recorded. */
  readonly phase: string;
}

/** Ops of a weight (O, …): each output is a sum over a row of it. */
export const weightedOps: readonly string[] = ['conv2d', 'depthwise', 'pointwise', 'linear'];

/** Settings of an op, those that have a default among them. */
export type Attributes = Readonly<Record<string, number | string | boolean>>;

/**
 * One gradient per input; null where none flows, and where a kernel added to the parameter's gradient itself. The tape adds what
 * it is given of a parameter.
 */
type Backward = (dy: Tensor) => readonly (Tensor | null)[];

export interface TapeOptions {
  /** Record no backward: for the frozen passes and for inference. */
  frozen?: boolean;
  /**
   * Keep no batchnorm outputs for the backward, but make them again where one is needed: less memory for a little time, and
   * the same bits.
   */
  recompute?: boolean;
}

export const tapeOptions: Kinds<TapeOptions> = { frozen: 'boolean', recompute: 'boolean' };

/** Records ops into a plan, and their backwards in reverse. It alone adds up gradients of activations. */
export class Tape {
  readonly plan: Plan;
  readonly frozen: boolean;
  readonly #operations: Operation[] = [];
  readonly #backwards = new Map<Operation, Backward>();
  /** Where each operation with a backward ended in the plan. */
  readonly #marks = new Map<Operation, number>();
  /** By `viewOf`, as all that follows: equal views of the same memory are the same tensor. */
  readonly #tracked = new Map<string, Tensor>();
  readonly #leaves = new Set<string>();
  readonly #gradients = new Map<string, Tensor>();
  /** Outputs that went back already, and tensors that more than one backward reached. */
  readonly #spent = new Set<string>();
  readonly #inParts = new Set<string>();
  readonly #recompute: boolean;
  readonly #recipes = new Map<Tensor['storage'], () => Tensor>();
  readonly #restored = new Map<Tensor['storage'], Tensor>();
  readonly #trained = new Set<Tensor>();

  constructor(plan: Plan, options: TapeOptions = {}) {
    expectArguments('tape', { plan });
    const { frozen = false, recompute = false } = expectOptions('tape', options, tapeOptions);
    this.plan = plan;
    this.frozen = frozen;
    this.#recompute = recompute;
  }

  /** An uninitialised tensor in the plan's transient memory. */
  empty(label: string, shape: readonly number[]): Tensor {
    return transient(this.plan, label, shape);
  }

  /** An uninitialised tensor for an activation that is made from `x`, and kept as `x` is: in f32 or in f16. */
  activation(x: Tensor, label: string, shape: readonly number[]): Tensor {
    expectArguments('activation', { x });
    return transient(this.plan, label, shape, x.half ? 'f16' : 'f32');
  }

  /** What was recorded so far, in order: a network's structure, for others to read. */
  get operations(): readonly Operation[] {
    return this.#operations;
  }

  /**
   * Notes how `output` came about: by which op, and by which settings where it has any. Without a backward it is a constant.
   * Returns it.
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
    if (backward && !this.frozen && inputs.some((input) => this.needsGrad(input))) {
      this.#backwards.set(operation, backward);
      this.#marks.set(operation, this.plan.position);
      const key = viewOf(output);
      this.#tracked.set(key, output);
      const tapes = makers.get(this.plan) ?? new Map<string, Tape>();
      makers.set(this.plan, tapes.set(key, this));
    }
    return output;
  }

  /** Notes how `y` can be made once more from what the backward needs anyway: `again` records that, and returns it. */
  remakable(y: Tensor, again: () => Tensor): void {
    if (this.#recompute && !this.frozen) this.#recipes.set(y.storage, again);
  }

  /** An input that the forward saw, for the backward to read; it may have to be made again. */
  restore(x: Tensor): Tensor {
    const again = this.#recipes.get(x.storage);
    if (!again) return x;
    const made = this.#restored.get(x.storage) ?? again();
    this.#restored.set(x.storage, made);
    return { ...x, storage: made.storage };
  }

  /** Marks an input whose gradient is wanted, as tests do. */
  track(x: Tensor): Tensor {
    expectArguments('track', { x });
    this.#tracked.set(viewOf(x), x);
    this.#leaves.add(viewOf(x));
    return x;
  }

  /** Whether a gradient with respect to `x` will be asked for; where not, an op need not compute dx. */
  needsGrad(x: Tensor): boolean {
    return !this.frozen && !x.detached && (x.grad !== undefined || this.#tracked.has(viewOf(x)));
  }

  /** The parameters to whose gradients the backward passes so far add. */
  get trained(): Iterable<Tensor> {
    return this.#trained;
  }

  /**
   * Appends the backward of all that led to `output`, given its gradient `dy`, ones where left out: of phase P in phase
   * `backward/P`. Gradients of parameters are added to, as those of `track`ed tensors are where several outputs go back one after
   * the other.
   *
   * @throws ValidationError where nothing that led to `output` is tracked, where it went back already, or where something that
   * the backward reads was overwritten since
   */
  backward(output: Tensor, dy = this.#ones(output)): void {
    expectArguments('backward', { output, dy });
    const key = viewOf(output);
    if (output.detached || !this.#tracked.has(key))
      throw new ValidationError(
        `backward: expected a tensor that this tape made from parameters or tracked tensors, got ${output.label}, ` +
          `of which nothing is tracked${this.frozen ? ': the tape is frozen' : ''}`,
      );
    if (this.#spent.has(key))
      throw new ValidationError(
        `backward: ${output.label} went back already, and gradients would count twice; sum the losses and go back once`,
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
      // made here: what reached it is complete, and where it is a view equal to its input, the input's begins anew
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
      for (const input of inputs) if (input.grad && this.needsGrad(input)) this.#trained.add(input);
      for (const [i, dx] of results.entries()) {
        const input = inputs[i];
        if (!this.needsGrad(input)) continue;
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
        pending.set(key, sum ? this.sum(sum, dx) : dx);
      }
    }
    for (const [key, dx] of new Map([...found, ...pending])) {
      const before = this.#gradients.get(key);
      if (before && !this.#leaves.has(key)) this.#inParts.add(key);
      this.#gradients.set(key, before && this.#leaves.has(key) ? this.sum(before, dx) : dx);
    }
  }

  /**
   * The gradient of an activation, after `backward()`.
   *
   * @throws ValidationError where several backwards reached it and it was not `track`ed: there is no one tensor of their sum
   */
  gradient(x: Tensor): Tensor | undefined {
    expectArguments('gradient', { x });
    const key = viewOf(x);
    if (this.#inParts.has(key))
      throw new ValidationError(
        `gradient: expected one backward to reach ${x.label}, got several; track() it for the sum of its gradients`,
      );
    return this.#gradients.get(key);
  }

  /** Refuses an input that the gradient could not come back to. */
  #checkInput(op: string, x: Tensor): void {
    expectArguments(op, { input: x });
    checkGrad(op, x);
    if (this.frozen || x.detached || this.needsGrad(x)) return;
    const maker = makers.get(this.plan)?.get(viewOf(x));
    if (maker && maker !== this)
      throw new ValidationError(
        `${op}: expected a tensor of this tape, got ${x.label}, which another tape of the plan made; use one tape, ` +
          'or detach() it to take it as a constant',
      );
    const source = [...this.#tracked.values()].find((y) => y.storage === x.storage && overlap(x, y));
    if (source)
      throw new ShapeError(
        `${op}: expected a tensor of the tape, got ${x.label} ${shapeText(x.shape)}, a view of ${source.label} ` +
          `${shapeText(source.shape)} that loses its gradient; use the tape's reshape, or an op that makes what you need`,
      );
  }

  /** Adds to a parameter's gradient what an op that takes activations made of it. */
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
    const y = reshape(x, shape);
    // a parameter's gradient has the same memory under the new shape, and is added to there
    return x.grad ? this.record('reshape', [x], y) : this.record('reshape', [x], y, (dy) => [reshape(dy, x.shape)]);
  }

  /** a + b, unrecorded: the forward of `add`, and the meeting of two gradients. */
  sum(a: Tensor, b: Tensor): Tensor {
    expectArguments('sum', { a, b });
    const y = this.activation(a, 'add.y', a.shape);
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

/** Sees that where an op gives no gradient back, its kernel added to a parameter's. */
function checkTaken(op: string, { label, grad }: Tensor): void {
  if (!grad)
    throw new ValidationError(
      `${op}: expected ${label} to be a parameter, or a constant by detach(), got a tensor that the tape made or tracks, to which ` +
        'this op gives no gradient',
    );
}

/** Sees that a parameter's gradient is the same view as the parameter: kernels add to it by the same strides and lists. */
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

/** Sees that a gradient is one of a tensor of this shape that kernels can read. */
function checkGradient(what: string, gradient: Tensor, shape: readonly number[]): void {
  if (shapeText(gradient.shape) === shapeText(shape) && isDense(gradient) && !gradient.half) return;
  throw new ShapeError(
    `${what}: expected a dense f32 tensor ${shapeText(shape)}, got ${gradient.half ? 'f16' : 'f32'} ${viewText(gradient)}`,
  );
}

/** By plan and view, the live tape that made a tensor and can go back from it. */
const makers = new WeakMap<Plan, Map<string, Tape>>();

const numbers = new WeakMap<Binding['storage'], number>();
let count = 0;

/** The same for equal views of the same memory, whichever object tells of them. */
function viewOf({ storage, offset, shape, strides, half = false, keptRows, keptColumns }: Tensor): string {
  const number = numbers.get(storage) ?? count++;
  numbers.set(storage, number);
  const lists = [keptRows, keptColumns].map((list) => list?.offset);
  return [number, offset, shape, strides, half, ...lists].join(';');
}
