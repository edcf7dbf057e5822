// Compiled kernels of a device: each (kernel, constants, entry point) once.
import { ValidationError } from '../errors.js';
import type { Dispatch } from './commands.js';
import { bufferUsage, computeStage } from './flags.js';
import { buffersOf, type Kernel, type Specialization, specialize } from './kernel.js';

const leastWorthwhile = 16;
const most = { storages: 10, bytes: 256 };

export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** Receives what is compiled. */
interface CodeReader {
  compiles(label: string, code: string): void;
}

const numbers = new Map<string, number>();

/** Kernels with the same code share pipelines; kernels with the same name may differ. */
function moduleKey({ stem, code }: Kernel, { consts, half }: Specialization): string {
  const number = numbers.get(code) ?? numbers.size;
  numbers.set(code, number);
  return `${stem} ${number}${half ? ' f16 ' : ''}${JSON.stringify(consts, Object.keys(consts).sort())}`;
}

/** Compiles each (kernel, constants, entry point) once for a device. */
export class PipelineCache {
  /** Keys of those that have been dispatched, for drivers that compile on the first dispatch. */
  readonly #dispatched = new Set<string>();
  readonly #gpu: GPUDevice;
  readonly #debug: CodeReader | undefined;
  readonly #modules = new Map<string, GPUShaderModule>();
  readonly #pipelines = new Map<string, Promise<Pipeline>>();

  constructor(gpu: GPUDevice, debug?: CodeReader) {
    this.#gpu = gpu;
    this.#debug = debug;
  }

  /** How many have been dispatched by `precompile`. */
  get dispatched(): number {
    return this.#dispatched.size;
  }

  /** The cache key of a pipeline. */
  static key(kernel: Kernel, entry: string, specialization: Specialization): string {
    return `${moduleKey(kernel, specialization)}.${entry}`;
  }

  get(kernel: Kernel, entry: string, specialization: Specialization): Promise<Pipeline> {
    const key = PipelineCache.key(kernel, entry, specialization);
    let pipeline = this.#pipelines.get(key);
    if (!pipeline) {
      pipeline = this.#compile(kernel, entry, specialization);
      this.#pipelines.set(key, pipeline);
    }
    return pipeline;
  }

  async #compile(kernel: Kernel, entry: string, specialization: Specialization): Promise<Pipeline> {
    const label = `${kernel.stem}.${entry}`;
    const key = moduleKey(kernel, specialization);
    const code = specialize(kernel, specialization);
    this.#debug?.compiles(label, code);
    // the scope attributes a compile error to this pipeline; otherwise it would be an error of the device
    this.#gpu.pushErrorScope('validation');
    const module = this.#modules.get(key) ?? this.#gpu.createShaderModule({ label: kernel.stem, code });
    this.#modules.set(key, module);
    const layout = this.#gpu.createBindGroupLayout({
      label,
      entries: Object.values(buffersOf(kernel, entry)).map(({ binding, type }) => ({
        binding,
        visibility: computeStage,
        buffer: { type },
      })),
    });
    const bindings = this.#gpu.createPipelineLayout({ label, bindGroupLayouts: [layout] });
    const invalid = this.#gpu.popErrorScope();
    try {
      const compute = { module, entryPoint: entry };
      const made = this.#gpu.createComputePipelineAsync({ label, layout: bindings, compute });
      const [pipeline] = await Promise.all([made, invalid]);
      return { pipeline, layout };
    } catch (error) {
      const lines = (await module.getCompilationInfo()).messages.map((m) => `  ${m.lineNum}:${m.linePos} ${m.message}`);
      const reason = error instanceof Error ? error.message : String(error);
      throw new ValidationError(`${label} does not compile: ${[reason, ...lines].join('\n')}`);
    }
  }

  /**
   * Forces lazy drivers to compile pipelines now, on several threads.
   *
   * lavapipe compiles a shader to machine code on its first dispatch, one after another on a device's only queue, and caches
   * the result on disk. So each shader is dispatched once here, one workgroup on scratch memory, on this device or on another
   * device of the same adapter.
   *
   * @param compileDevices opens the other devices; without it, pipelines are compiled when they are created, and this does nothing
   */
  async precompile(
    dispatches: readonly Dispatch[],
    compileDevices: (() => Promise<readonly GPUDevice[]>) | undefined,
    onProgress?: (done: number, total: number) => void,
  ): Promise<void> {
    if (!compileDevices) return;
    const cold = new Map(
      dispatches.map((dispatch) => [PipelineCache.key(dispatch.kernel, dispatch.entry, dispatch), dispatch]),
    );
    for (const key of cold.keys()) if (this.#dispatched.has(key)) cold.delete(key);
    if (cold.size < leastWorthwhile) return;
    const others = await compileDevices();
    const waiting = [...cold.values()];
    let done = 0;
    const work = async (gpu: GPUDevice, cache: PipelineCache) => {
      const memory = scratch(gpu);
      for (let dispatch = waiting.shift(); dispatch; dispatch = waiting.shift()) {
        await dispatchOnce(gpu, cache, dispatch, memory);
        onProgress?.(++done, cold.size);
      }
      for (const buffer of [memory.uniform, ...memory.storages]) buffer.destroy();
    };
    try {
      await Promise.all([work(this.#gpu, this), ...others.map((gpu) => work(gpu, new PipelineCache(gpu)))]);
      for (const key of cold.keys()) this.#dispatched.add(key);
    } finally {
      for (const gpu of others) gpu.destroy();
    }
  }
}

interface Scratch {
  readonly uniform: GPUBuffer;
  readonly storages: readonly GPUBuffer[];
}

function scratch(gpu: GPUDevice): Scratch {
  const make = (usage: number) => gpu.createBuffer({ label: 'precompile', size: most.bytes, usage });
  return {
    uniform: make(bufferUsage.UNIFORM | bufferUsage.COPY_DST),
    storages: Array.from({ length: most.storages }, () => make(bufferUsage.STORAGE)),
  };
}

/** The dispatch's own sizes bound its loops; the driver clamps accesses beyond the scratch memory. */
async function dispatchOnce(
  gpu: GPUDevice,
  cache: PipelineCache,
  dispatch: Dispatch,
  { uniform, storages }: Scratch,
): Promise<void> {
  const { kernel, entry, label, uniforms } = dispatch;
  const { pipeline, layout } = await cache.get(kernel, entry, dispatch);
  gpu.queue.writeBuffer(uniform, 0, uniforms);
  const declared = Object.values(buffersOf(kernel, entry));
  const entries = declared.map(({ binding, type }, i) => ({
    binding,
    resource: { buffer: type === 'uniform' ? uniform : storages[i] },
  }));
  const encoder = gpu.createCommandEncoder({ label: 'precompile' });
  const pass = encoder.beginComputePass({ label });
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, gpu.createBindGroup({ label, layout, entries }));
  pass.dispatchWorkgroups(1);
  pass.end();
  gpu.queue.submit([encoder.finish()]);
  await gpu.queue.onSubmittedWorkDone();
}
