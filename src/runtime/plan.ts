// The plan: dispatches and fills, recorded once and replayed every step.
import { expectArguments, expectMemory } from '../checks/arguments.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import { DeviceError, OutOfMemoryError, ValidationError } from '../errors.js';
import { type Binding, isBuffer, type Slot } from '../tensor/binding.js';
import { checkLayout, checkRange } from '../tensor/footprint.js';
import { type Numbers, readNumbers } from '../tensor/read_numbers.js';
import { Accesses, type Stretch } from './accesses.js';
import { bindGroup } from './bind_group.js';
import type { Command, Dispatch, DispatchOptions, Encoded, PlanOptions } from './commands.js';
import type { Device } from './device.js';
import { bufferUsage } from './flags.js';
import { buffersOf, checkBindings, type EntryName, type Kernel, listConsts, pack } from './kernel.js';
import { assign, type Lifetime, pile } from './memory.js';
import type { Checks } from './nonfinite.js';
import type { Pipeline } from './pipelines.js';
import { replay } from './replay.js';
import { Scalars, type StepScalars, scalarBytes } from './step_scalars.js';
import { checkUses } from './uses.js';
import { chooseVariant, expectVariantNames, expectVariants, type Variant, type VariantChoice } from './variants.js';
import { fold } from './workgroups.js';

const planOptions: Kinds<PlanOptions> = { label: 'string', variants: 'object', substitute: 'function' };

/**
 * A list of GPU commands, recorded once and replayed every step.
 *
 * Recording tracks the first and last use of each slot; `compile()` assigns buffers to slots by these lifetimes, compiles the
 * pipelines and creates the bind groups; `run()` only encodes and submits, and creates nothing.
 */
export class Plan {
  readonly device: Device;
  readonly label: string;
  /** The choices made while recording, in order. */
  readonly choices: VariantChoice<Plan>[] = [];
  /** All that was recorded, in order. */
  readonly commands: readonly Command[] = [];
  /** The buffers of slots, once compiled; a buffer may hold other slots before and after. */
  readonly memory: ReadonlyMap<Slot, GPUBuffer> = new Map();
  readonly #variants: Readonly<Record<string, string>>;
  readonly #substitute: PlanOptions['substitute'];
  readonly #accesses = new Accesses();
  readonly #lifetimes = new Map<Slot, Lifetime>();
  readonly #held = new Set<GPUBuffer>();
  readonly #constants: GPUBuffer[] = [];
  readonly #cleared = new Set<GPUBuffer>();
  readonly #trained: (readonly [optimizer: string, grads: GPUBuffer])[] = [];
  readonly #scalars: Scalars;
  #phase = '';
  #step: GPUBuffer | undefined;
  #encoded: Encoded[] | undefined;
  #checks: Checks | undefined;
  #checkedAt = -1; // the device's change count
  #state: 'recording' | 'compiling' | 'compiled' | 'disposed' = 'recording';

  constructor(device: Device, options: PlanOptions = {}) {
    expectArguments('plan', { device });
    this.device = device;
    this.label = expectOptions('plan', options, planOptions).label ?? 'plan';
    this.#variants = options.variants ?? {};
    expectVariantNames(this.#variants);
    this.#substitute = options.substitute;
    this.#scalars = new Scalars(this.label);
  }

  /** Transient memory of `bytes`. Its contents are undefined before the plan's first write to it. */
  slot(label: string, bytes: number): Slot {
    this.#expectRecording('record a command');
    this.device.check(label, bytes);
    const slot = { label, bytes: Math.max(16, Math.ceil(bytes / 16) * 16) };
    this.#lifetimes.set(slot, { label, bytes: slot.bytes, first: Number.POSITIVE_INFINITY, last: -1 });
    return slot;
  }

  /**
   * Records one of several variants that compute the same result: the first one that runs on this device, or the one named in the
   * plan's options. Variants depend on shapes, so one name may not apply to a whole network. The last one is the reference
   * that the others are checked against.
   *
   * @param record appends a variant's dispatches to the given plan, and uses no other plan; it may be called again
   * for a benchmark
   */
  choose<C extends Variant>(key: string, candidates: readonly C[], record: (form: C, plan: Plan) => void): void {
    this.#expectRecording('record a command');
    const number = this.choices.filter((choice) => choice.key === key).length + 1;
    const choice = chooseVariant(this.device, this.#variants, { key, id: `${key} ${number}` }, candidates);
    const made = {
      ...choice,
      record: (form: Variant, plan: Plan) => record(form as C, plan),
      first: this.position,
      end: 0,
    };
    this.choices.push(made);
    record(choice.chosen, this);
    made.end = this.position;
  }

  /** Appends one dispatch of a kernel's entry point. */
  dispatch<K extends Kernel, E extends EntryName<K>>(kernel: K, entry: E, options: DispatchOptions<K, E>): void {
    this.#expectRecording('record a command');
    const label = `${kernel.stem}.${entry}`;
    const declared = buffersOf(kernel, entry);
    const bindings = new Map<string, Binding>();
    // a benchmark uses the real index lists: random values would be out of range
    for (const [name, binding] of Object.entries<Binding | undefined>(options.bindings))
      if (binding) bindings.set(name, declared[name]?.kept ? binding : this.#own(binding));
    const half = checkBindings(kernel, entry, bindings);
    for (const binding of bindings.values()) this.#checkStorage(binding);
    checkUses(this.device, label, declared, bindings);
    if (half && !this.device.features.has('shader-f16'))
      throw new DeviceError(`${label}: ${this.device.name} has no shader-f16; use precision f32`);
    this.#append({
      kind: 'dispatch',
      label,
      phase: this.#phase,
      kernel,
      entry,
      params: options.params,
      uniforms: pack(kernel.params, options.params, label),
      bindings,
      workgroups: fold(this.device, label, options.workgroups),
      consts: { ...options.consts, ...listConsts(kernel, entry, bindings) },
      half,
      macs: options.macs ?? 0,
      bytes: options.bytes,
    });
    for (const [name, binding] of bindings) this.#touch(binding, label, name, declared[name].type === 'storage');
  }

  /** Appends a fill with zeros. */
  clear(target: Binding): void {
    const own = this.#own(target);
    this.#checkStorage(own);
    checkLayout(`${this.label}: clear`, own, false, []);
    checkRange(`${this.label}: clear`, own);
    this.#append({ kind: 'clear', target: own });
    this.#touch(own, 'clear', 'target', true);
  }

  /** Fills a whole buffer with zeros at the start of every run, e.g. gradients, which each step accumulates. */
  clearFirst(buffer: GPUBuffer): void {
    this.#expectRecording('record a command');
    this.device.assertLive(buffer);
    this.#cleared.add(buffer);
  }

  /** Constant values in memory of the plan, e.g. an initial gradient. */
  constant(label: string, values: Float32Array<ArrayBuffer>): Binding {
    this.#expectRecording('record a command');
    const storage = this.device.buffer(label, values.byteLength);
    this.#constants.push(storage);
    this.device.write(storage, values);
    return { storage, offset: 0, bytes: values.byteLength };
  }

  /** Declares that every run requires these scalars, which `what` reads. */
  needs(what: string, ...scalars: readonly (keyof StepScalars)[]): void {
    this.#scalars.needs(what, scalars);
  }

  /**
   * Provides a scalar to runs that do not pass it, computed from the number of updates so far: e.g. Adam's bias corrections.
   *
   * @throws ValidationError where another source already provides it
   */
  provide(what: string, scalar: keyof StepScalars, of: (updates: number) => number): void {
    this.#scalars.provide(what, scalar, of);
  }

  /** Declares that an optimizer reads these gradients: see `assertReached`. */
  trains(optimizer: string, grads: GPUBuffer): void {
    this.#trained.push([optimizer, grads]);
  }

  /** Checks that backwards of this plan compute all gradients that its optimizers read, before they read them. @throws ValidationError */
  assertReached(): void {
    for (const [optimizer, grads] of this.#trained) this.#accesses.assertReached(optimizer, grads);
  }

  /** What provides a scalar to runs that do not pass it: e.g. `sgd of lr 0.1`. */
  sourceOf(scalar: keyof StepScalars): string | undefined {
    return this.#scalars.sourceOf(scalar);
  }

  /** The number of the next run, counted from 0: set it to resume a training. */
  get step(): number {
    return this.#scalars.next;
  }

  set step(step: number) {
    this.#scalars.next = step;
  }

  /** The first step that updates weights, 0 except in later phases of a training; `provide` counts from it. */
  set firstStep(step: number) {
    this.#scalars.first = step;
  }

  /** Gives a slot its own memory, so that it can be written before a run and read after it. No effect on buffers. */
  retain(binding: Binding): void {
    this.#expectRecording('keep memory');
    this.#checkStorage(binding);
    const lifetime = this.#lifetimes.get(binding.storage as Slot);
    if (!lifetime) return;
    lifetime.first = 0;
    lifetime.last = Number.POSITIVE_INFINITY;
  }

  /** The number of commands recorded so far. */
  get position(): number {
    return this.commands.length;
  }

  /**
   * Checks that these commands, an op's backward, read what its forward read: that none of `since`, recorded in between,
   * overwrote it.
   *
   * @throws ValidationError by the names of the memory and who wrote it
   */
  assertUnchanged(op: string, commands: Stretch, since: Stretch): void {
    this.#accesses.assertUnchanged(op, commands, since);
  }

  /** The current phase: names from the outermost inward, such as `backward/host`; '' outside all phases. */
  get currentPhase(): string {
    return this.#phase;
  }

  /** Names what is recorded inside, for profiles and the ledger. */
  phase<T>(name: string, record: () => T): T {
    const outer = this.#phase;
    this.#phase = [outer, name].filter(Boolean).join('/');
    try {
      const result = record();
      if (typeof (result as { then?: unknown } | undefined)?.then === 'function') {
        (result as unknown as Promise<unknown>).then(undefined, () => undefined);
        throw new ValidationError(
          `${this.label}: expected phase "${name}" to be recorded at once, got an async function`,
        );
      }
      return result;
    } finally {
      this.#phase = outer;
    }
  }

  /** Compiles all pipelines, assigns buffers to slots, and creates the bind groups. */
  async compile(onProgress?: (done: number, total: number) => void): Promise<this> {
    this.#expectRecording('compile');
    expectVariants(this.label, this.#variants, this.choices);
    this.#state = 'compiling';
    const pipelines = await this.#compilePipelines(onProgress);
    const { pipelines: cache, compileDevices } = this.device;
    await this.device.wait(cache.precompile(this.dispatches, compileDevices, onProgress));
    const { gpu } = this.device;
    gpu.pushErrorScope('out-of-memory');
    gpu.pushErrorScope('validation');
    const scopes = () => this.device.wait(Promise.all([gpu.popErrorScope(), gpu.popErrorScope()]));
    try {
      this.#allocate();
      this.#encoded = this.#bind(pipelines);
    } catch (error) {
      await scopes();
      throw error;
    }
    const [invalid, exhausted] = await scopes();
    if (exhausted)
      throw new OutOfMemoryError(
        `${this.label}: ${this.device.name} is out of memory: ${exhausted.message}; ` +
          'use a smaller batch, image size, width or projector',
      );
    if (invalid) throw new ValidationError(`${this.label}: ${invalid.message}`);
    this.#state = 'compiled';
    if (!this.#substitute) this.#checks = await this.device.debug?.compiled(this);
    return this;
  }

  /**
   * Encodes and submits the recorded commands; does not wait for them. The plan counts steps; `scalars` are the other per-step values.
   *
   * @throws ValidationError where a required scalar is not given: e.g. an optimizer's `lr`
   */
  run(scalars: Partial<StepScalars> = {}): void {
    (this.#checks?.run ?? replay)(this.device, this.label, this.encoded(scalars));
  }

  /**
   * Writes these scalars and returns the commands of the next run, in order, to be submitted otherwise than by `run`.
   *
   * @throws ValidationError as `run`
   */
  encoded(scalars: Partial<StepScalars> = {}): readonly Encoded[] {
    const encoded = this.#ready();
    this.device.write(this.#step as GPUBuffer, this.#scalars.pack(scalars));
    return encoded;
  }

  /**
   * The buffer and offset behind a binding, once compiled.
   *
   * @throws ValidationError where it is a slot without `retain()`: other slots reuse its memory
   */
  resolve(binding: Binding): { buffer: GPUBuffer; offset: number } {
    const found = this.#resolve(binding);
    if (!isBuffer(binding.storage) && this.#lifetimes.get(binding.storage)?.last !== Number.POSITIVE_INFINITY)
      throw new ValidationError(
        `${this.label}: "${binding.storage.label}" was not kept, its memory goes to others; call retain() before compile()`,
      );
    return found;
  }

  /** Reads back a binding's values, in row-major order for a tensor; a slot requires `retain()`. */
  async read<B extends Binding>(binding: B): Promise<Numbers<B>> {
    return readNumbers(this.device, binding, (range) => this.resolve(range));
  }

  /** Fills all transient memory with NaN, so that reads of memory that was never written are detected. */
  poison(): void {
    // a NaN that no arithmetic produces, in f32 and in both halves: the MARK of kernels/nonfinite.wgsl
    for (const buffer of this.#held)
      if (buffer.usage & bufferUsage.STORAGE)
        this.device.write(buffer, new Uint32Array(buffer.size / 4).fill(0x7fdb7fdb));
  }

  /** The lifetime of each slot. */
  get lifetimes(): readonly Lifetime[] {
    return [...this.#lifetimes.values()].filter(({ last }) => last >= 0);
  }

  /** The recorded dispatches, in order. */
  get dispatches(): readonly Dispatch[] {
    return this.commands.filter((command) => command.kind === 'dispatch');
  }

  dispose(): void {
    for (const buffer of [...this.#held, ...this.#constants.splice(0)]) this.device.free(buffer);
    this.#held.clear();
    (this.memory as Map<Slot, GPUBuffer>).clear();
    this.#encoded = undefined;
    this.#checks?.dispose();
    this.#state = 'disposed';
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #own(binding: Binding): Binding {
    return this.#substitute && !this.#lifetimes.has(binding.storage as Slot) ? this.#substitute(binding) : binding;
  }

  #append(command: Command): void {
    this.#expectRecording('record a command');
    (this.commands as Command[]).push(command);
  }

  #touch(binding: Binding, label: string, name: string, written: boolean): void {
    const at = this.commands.length - 1;
    this.#accesses.note({ at, binding, label, name }, written);
    const lifetime = this.#lifetimes.get(binding.storage as Slot);
    if (!lifetime) return;
    lifetime.first = Math.min(lifetime.first, at);
    lifetime.last = Math.max(lifetime.last, at);
  }

  /** Checks that a command of this plan can use the memory. */
  #checkStorage(binding: Binding): void {
    expectMemory(this.label, 'what a command uses', binding);
    const { storage } = binding;
    if (isBuffer(storage)) this.device.assertLive(storage);
    else if (!this.#lifetimes.has(storage))
      throw new ValidationError(`${this.label}: "${storage.label}" belongs to another plan; record into that one`);
  }

  #resolve(binding: Binding): { buffer: GPUBuffer; offset: number } {
    expectMemory(this.label, 'what is read', binding);
    const { storage, offset } = binding;
    if (isBuffer(storage)) {
      this.device.assertLive(storage);
      return { buffer: storage, offset };
    }
    const buffer = this.memory.get(storage);
    if (!buffer)
      throw new ValidationError(
        `${this.label}: "${storage.label}" has no memory: no command uses it, or the plan is ${this.#state}`,
      );
    return { buffer, offset };
  }

  async #compilePipelines(onProgress?: (done: number, total: number) => void): Promise<Map<Command, Pipeline>> {
    const pending = new Map<Command, Promise<Pipeline>>();
    for (const command of this.commands)
      if (command.kind === 'dispatch')
        pending.set(command, this.device.pipelines.get(command.kernel, command.entry, command));
    const distinct = new Set(pending.values());
    let done = 0;
    for (const pipeline of distinct)
      pipeline.then(
        () => onProgress?.(++done, distinct.size),
        () => undefined,
      );
    const pipelines = new Map<Command, Pipeline>();
    for (const [command, pipeline] of pending) pipelines.set(command, await this.device.wait(pipeline));
    return pipelines;
  }

  #allocate(): void {
    const slots = [...this.#lifetimes].filter(([, { last }]) => last >= 0);
    const { places, sizes } = assign(slots.map(([, lifetime]) => lifetime));
    this.device.checkSum(this.label, sizes);
    const buffers = sizes.map((bytes, i) => this.#hold(this.device.buffer(`${this.label}.memory${i}`, bytes)));
    slots.forEach(([slot], i) => {
      (this.memory as Map<Slot, GPUBuffer>).set(slot, buffers[places[i]]);
    });
  }

  #bind(pipelines: ReadonlyMap<Command, Pipeline>): Encoded[] {
    const uniform = bufferUsage.UNIFORM | bufferUsage.COPY_DST;
    const step = this.device.buffer(`${this.label}.step`, scalarBytes, uniform | bufferUsage.STORAGE);
    this.#step = this.#hold(step);
    const { offsets, bytes } = pile(
      this.dispatches.map(({ uniforms }) => uniforms),
      this.device.limits.minUniformBufferOffsetAlignment,
    );
    const params = this.#hold(this.device.buffer(`${this.label}.params`, bytes.byteLength, uniform));
    this.device.write(params, bytes);

    let dispatched = 0;
    const cleared = [...this.#cleared].map(
      (buffer): Encoded => ({ kind: 'clear', buffer, offset: 0, bytes: buffer.size }),
    );
    const commands = this.commands.map((command): Encoded => {
      if (command.kind === 'clear') {
        const { buffer, offset } = this.#resolve(command.target);
        return { kind: 'clear', buffer, offset, bytes: command.target.bytes };
      }
      const { pipeline, layout } = pipelines.get(command) as Pipeline;
      const offset = offsets[dispatched++];
      const uniforms = { step, params: { buffer: params, offset, size: command.uniforms.byteLength } };
      const group = bindGroup(this.device.gpu, command, layout, uniforms, (binding) => this.#resolve(binding));
      const [x, y, z] = command.workgroups;
      return { kind: 'dispatch', pipeline, group, x, y, z, macs: command.macs };
    });
    return [...cleared, ...commands];
  }

  #hold(buffer: GPUBuffer): GPUBuffer {
    this.#held.add(buffer);
    return buffer;
  }

  #ready(): Encoded[] {
    this.device.assertHealthy();
    if (!this.#encoded || this.#state !== 'compiled')
      throw new ValidationError(`${this.label}: expected a compiled plan to run, got one that is ${this.#state}`);
    this.#assertAllLive();
    return this.#encoded;
  }

  /** Checks that no buffer of the plan was freed; skipped while no buffer has been freed since the last check. */
  #assertAllLive(): void {
    if (this.#checkedAt === this.device.changes) return;
    this.#accesses.assertUsable(this.device);
    for (const buffer of this.#cleared) this.device.assertLive(buffer);
    this.#checkedAt = this.device.changes;
  }

  #expectRecording(what: string): void {
    if (this.#state !== 'recording')
      throw new ValidationError(
        `${this.label}: expected a plan that is recording to ${what}, got one that is ${this.#state}`,
      );
  }
}
