import { ShapeError, ValidationError } from './errors.js';
import { add } from './generated/add.js';
import type { Plan } from './runtime/plan.js';
import { numel, reshape, shapeText, type Tensor, transient } from './tensor.js';

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

/** One gradient per input; null where none flows. Gradients of parameters are accumulated in place by the kernel. */
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

/** Records ops into a plan, and their backwards in reverse. It alone adds up gradients of activations. */
export class Tape {
  readonly plan: Plan;
  readonly frozen: boolean;
  readonly #operations: Operation[] = [];
  readonly #backwards = new Map<Operation, Backward>();
  readonly #tracked = new Set<Tensor>();
  readonly #gradients = new Map<Tensor, Tensor>();
  readonly #recompute: boolean;
  readonly #recipes = new Map<Tensor['storage'], () => Tensor>();
  readonly #restored = new Map<Tensor['storage'], Tensor>();

  constructor(plan: Plan, { frozen = false, recompute = false }: TapeOptions = {}) {
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
    const operation = { op, inputs, output, attributes, phase: this.plan.currentPhase };
    this.#operations.push(operation);
    if (backward && !this.frozen && inputs.some((input) => this.needsGrad(input))) {
      this.#backwards.set(operation, backward);
      this.#tracked.add(output);
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
    this.#tracked.add(x);
    return x;
  }

  /** Whether a gradient with respect to `x` will be asked for; where not, an op need not compute dx. */
  needsGrad(x: Tensor): boolean {
    return !this.frozen && (x.grad !== undefined || this.#tracked.has(x));
  }

  /** Appends the backward of all that led to `output`, given its gradient `dy`: of phase P in phase `backward/P`. */
  backward(output: Tensor, dy: Tensor): void {
    if (numel(output.shape) !== numel(dy.shape))
      throw new ShapeError(`backward: expected dy ${shapeText(output.shape)}, got ${shapeText(dy.shape)}`);
    this.plan.phase('backward', () => this.#backward(new Map([[output, dy]])));
  }

  #backward(gradients: Map<Tensor, Tensor>): void {
    for (const [{ op, inputs, output: y, phase }, backward] of [...this.#backwards].reverse()) {
      const gradient = gradients.get(y);
      if (!gradient) continue;
      const results = this.plan.phase(phase, () => backward(gradient));
      if (results.length !== inputs.length)
        throw new ValidationError(`internal: ${op}: expected ${inputs.length} gradients, got ${results.length}`);
      results.forEach((dx, i) => {
        if (!dx || !this.needsGrad(inputs[i])) return;
        const sum = gradients.get(inputs[i]);
        gradients.set(inputs[i], sum ? this.sum(sum, dx) : dx);
      });
    }
    for (const [x, dx] of gradients) this.#gradients.set(x, dx);
  }

  /** The gradient of an activation, after `backward()`. */
  gradient(x: Tensor): Tensor | undefined {
    return this.#gradients.get(x);
  }

  /** The same elements under another shape. */
  reshape(x: Tensor, shape: readonly number[]): Tensor {
    if (numel(shape) !== numel(x.shape))
      throw new ShapeError(`reshape: expected ${numel(x.shape)} elements, got ${shapeText(shape)}`);
    return this.record('reshape', [x], reshape(x, shape), (dy) => [reshape(dy, x.shape)]);
  }

  /** a + b, unrecorded: the forward of `add`, and the meeting of two gradients. */
  sum(a: Tensor, b: Tensor): Tensor {
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
