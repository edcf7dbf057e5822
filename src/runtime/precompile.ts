import type { Dispatch } from './commands.js';
import type { Device } from './device.js';
import { bufferUsage } from './flags.js';
import { buffersOf, PipelineCache } from './kernel.js';

const leastWorthwhile = 16;
const most = { storages: 10, bytes: 256 };

/**
 * Has a driver that compiles late compile now, on several threads.
 *
 * lavapipe makes machine code of a shader when it is first dispatched, one after the other on a device's only queue, and
 * keeps it on disk for all. So each shader is dispatched once here, one workgroup of it on memory that nobody reads, on the device
 * itself or on a spare one, whichever is free. No effect on drivers that are done when a pipeline is (`device.spares` is missing).
 */
export async function precompile(
  device: Device,
  dispatches: readonly Dispatch[],
  onProgress?: (done: number, total: number) => void,
): Promise<void> {
  if (!device.compileDevices) return;
  const { pipelines } = device;
  const cold = new Map(
    dispatches.map((dispatch) => [PipelineCache.key(dispatch.kernel, dispatch.entry, dispatch), dispatch]),
  );
  for (const key of cold.keys()) if (pipelines.warm.has(key)) cold.delete(key);
  if (cold.size < leastWorthwhile) return;
  const spares = await device.compileDevices();
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
    await device.wait(
      Promise.all([work(device.gpu, pipelines), ...spares.map((gpu) => work(gpu, new PipelineCache(gpu)))]),
    );
    for (const key of cold.keys()) pipelines.warm.add(key);
  } finally {
    for (const gpu of spares) gpu.destroy();
  }
}

interface Scratch {
  readonly uniform: GPUBuffer;
  readonly storages: readonly GPUBuffer[];
}

function scratch(gpu: GPUDevice): Scratch {
  const make = (usage: number) => gpu.createBuffer({ label: 'warm', size: most.bytes, usage });
  return {
    uniform: make(bufferUsage.UNIFORM | bufferUsage.COPY_DST),
    storages: Array.from({ length: most.storages }, () => make(bufferUsage.STORAGE)),
  };
}

/** The dispatch's own sizes bound its loops; what it reads and writes past the scratch memory is the driver's to clamp. */
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
  const encoder = gpu.createCommandEncoder({ label: 'warm' });
  const pass = encoder.beginComputePass({ label });
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, gpu.createBindGroup({ label, layout, entries }));
  pass.dispatchWorkgroups(1);
  pass.end();
  gpu.queue.submit([encoder.finish()]);
  await gpu.queue.onSubmittedWorkDone();
}
