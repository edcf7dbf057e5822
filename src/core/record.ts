// A step, recorded and compiled in one call: forward, backward and update, replayed by run().

import { expectArguments, expectTensors } from '../checks/arguments.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import { textOf } from '../checks/text_of.js';
import { ConfigError, ValidationError } from '../errors.js';
import type { PlanOptions } from '../runtime/commands.js';
import type { Device } from '../runtime/device.js';
import { Plan } from '../runtime/plan.js';
import { Readback } from '../runtime/readback.js';
import type { StepScalars } from '../runtime/step_scalars.js';
import { bufferOf } from '../tensor/binding.js';
import { isDense } from '../tensor/footprint.js';
import type { Numbers } from '../tensor/read_numbers.js';
import { numel, type Tensor } from '../tensor/tensor.js';
import { Tape, type TapeOptions, tapeOptions } from './tape.js';

/** Outputs of a step, by name. */
export type Outputs = Readonly<Record<string, Tensor>>;

export interface RecordOptions extends PlanOptions, TapeOptions {
  /** Called as pipelines are compiled. */
  onCompile?: (done: number, total: number) => void;
}

const recordOptions: Kinds<RecordOptions> = {
  label: 'string',
  variants: 'object',
  substitute: 'function',
  ...tapeOptions,
  onCompile: 'function',
};

/**
 * Records a step and compiles it. Gradients start from zero in every run.
 *
 * @param record records ops on the tape, synchronously; the tensors that it returns can be read with `read()`
 * @throws what the ops throw; ValidationError where `record` is async, or an optimizer uses gradients that no backward recorded before it
 */
export async function record<Out extends Outputs>(
  device: Device,
  record: (tape: Tape) => Out | undefined,
  given: RecordOptions = {},
): Promise<Step<Out>> {
  expectArguments('record', { device });
  if (typeof record !== 'function')
    throw new ConfigError(`record: expected a function that records ops on a tape, got ${textOf(record)}`);
  const { onCompile, noGrad, recompute, ...options } = expectOptions('record', given, recordOptions);
  const plan = new Plan(device, { label: 'step', ...options });
  try {
    const tape = new Tape(plan, { ...(noGrad && { noGrad }), ...(recompute && { recompute }) });
    const outputs = plan.phase('', () => record(tape)) ?? ({} as Out);
    if (typeof outputs !== 'object' || 'storage' in outputs)
      throw new ConfigError(
        `record: expected tensors by their names, as { loss }, got ${typeof outputs === 'object' ? 'a tensor' : textOf(outputs)}`,
      );
    expectTensors('record', outputs);
    for (const output of Object.values(outputs)) plan.retain(output);
    for (const { grad } of tape.trained) if (grad) plan.clearFirst(bufferOf(grad));
    plan.assertReached();
    await plan.compile(onCompile);
    return new Step(plan, outputs);
  } catch (error) {
    plan.dispose();
    throw error;
  }
}

/** A recorded step, to be run any number of times. */
export class Step<Out extends Outputs = Outputs> {
  readonly plan: Plan;
  readonly #outputs: Out;
  readonly #readbacks = new Map<string, Readback<'numbers'>>();
  #ran = false;

  constructor(plan: Plan, outputs: Out) {
    this.plan = plan;
    this.#outputs = outputs;
  }

  /**
   * Submits the step; does not wait for it.
   *
   * @param scalars of this run: e.g. the learning rate of an optimizer that was recorded without one
   * @throws ValidationError where a required scalar is missing
   */
  run(scalars: Partial<StepScalars> = {}): void {
    this.plan.run(scalars);
    this.#ran = true;
  }

  /**
   * The values after the last run of a tensor that was returned when the step was recorded.
   *
   * @throws ValidationError for an unknown name, or before the first run
   */
  async read<Name extends keyof Out & string>(name: Name): Promise<Numbers<Out[Name]>> {
    const output = Object.hasOwn(this.#outputs, name) ? this.#outputs[name] : undefined;
    if (!output)
      throw new ValidationError(
        `${this.plan.label}: expected the name of a returned tensor, ${Object.keys(this.#outputs).join(', ') || 'nothing'}, got ${name}`,
      );
    const { plan } = this;
    if (!this.#ran)
      throw new ValidationError(`${plan.label}: expected a run before ${name} is read, got none; call run()`);
    if (output.half || output.integer || !isDense(output)) return plan.read(output);
    let readback = this.#readbacks.get(name);
    if (!readback) {
      const range = { ...plan.resolve(output), bytes: 4 * numel(output.shape) };
      readback = new Readback(plan.device, name, { numbers: range });
      this.#readbacks.set(name, readback);
    }
    // a second read while the first is pending copies the state at its own call
    return readback.busy ? plan.read(output) : ((await readback.snapshot()).numbers as Numbers<Out[Name]>);
  }

  dispose(): void {
    for (const readback of this.#readbacks.values()) readback.dispose();
    this.#readbacks.clear();
    this.plan.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
