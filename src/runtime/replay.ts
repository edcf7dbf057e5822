import { DeviceError } from '../errors.js';
import type { Device } from './device.js';
import { bufferUsage } from './flags.js';

/** A recorded command and all that it needs on the GPU. */
export type Encoded =
  | {
      kind: 'dispatch';
      pipeline: GPUComputePipeline;
      group: GPUBindGroup;
      x: number;
      y: number;
      z: number;
      macs: number;
    }
  | { kind: 'clear'; buffer: GPUBuffer; offset: number; bytes: number };

// Drivers give up on submissions that take seconds. At the dispatches' own bound, forty of them take one or two.
const dispatchesASubmit = 40;

/** Submits commands in their order, neighbouring dispatches in one pass: at once, but for steps that would take long. */
export function replay({ gpu, dispatchMacs }: Device, label: string, commands: readonly Encoded[]): void {
  let encoder = gpu.createCommandEncoder({ label });
  let pass: GPUComputePassEncoder | undefined;
  let bound: GPUComputePipeline | undefined;
  let macs = 0;
  for (const command of commands) {
    if (command.kind === 'dispatch') {
      if (macs > 0 && macs + command.macs > dispatchesASubmit * dispatchMacs) {
        pass?.end();
        pass = bound = undefined;
        gpu.queue.submit([encoder.finish()]);
        encoder = gpu.createCommandEncoder({ label });
        macs = 0;
      }
      macs += command.macs;
      pass ??= encoder.beginComputePass();
      if (bound !== command.pipeline) pass.setPipeline(command.pipeline);
      bound = command.pipeline;
      pass.setBindGroup(0, command.group);
      pass.dispatchWorkgroups(command.x, command.y, command.z);
      continue;
    }
    pass?.end();
    pass = bound = undefined;
    encoder.clearBuffer(command.buffer, command.offset, command.bytes);
  }
  pass?.end();
  gpu.queue.submit([encoder.finish()]);
}

const perSet = 2048; // dispatches, two queries each: WebGPU allows 4096 queries a set

/** Submits commands with a pass and a pair of timestamps a dispatch, and gives the milliseconds of each dispatch. */
export async function replayTimed(device: Device, label: string, commands: readonly Encoded[]): Promise<number[]> {
  const { gpu } = device;
  if (!gpu.features.has('timestamp-query'))
    throw new DeviceError(`profile: ${device.name} has no timestamp queries; use an adapter that has them`);
  const count = commands.filter(({ kind }) => kind === 'dispatch').length;
  const sets: GPUQuerySet[] = [];
  for (let first = 0; first < count; first += perSet)
    sets.push(gpu.createQuerySet({ type: 'timestamp', count: 2 * Math.min(perSet, count - first) }));
  const resolved = gpu.createBuffer({
    size: count * 16,
    usage: bufferUsage.QUERY_RESOLVE | bufferUsage.COPY_SRC,
  });
  try {
    const encoder = gpu.createCommandEncoder({ label: `${label}.profile` });
    let at = 0;
    for (const command of commands) {
      if (command.kind !== 'dispatch') {
        encoder.clearBuffer(command.buffer, command.offset, command.bytes);
        continue;
      }
      const query = (at % perSet) * 2;
      const querySet = sets[Math.floor(at / perSet)];
      const pass = encoder.beginComputePass({
        timestampWrites: { querySet, beginningOfPassWriteIndex: query, endOfPassWriteIndex: query + 1 },
      });
      pass.setPipeline(command.pipeline);
      pass.setBindGroup(0, command.group);
      pass.dispatchWorkgroups(command.x, command.y, command.z);
      pass.end();
      at++;
    }
    sets.forEach((set, i) => {
      encoder.resolveQuerySet(set, 0, set.count, resolved, i * perSet * 16);
    });
    gpu.queue.submit([encoder.finish()]);
    const times = new BigUint64Array(await device.read(resolved));
    return Array.from({ length: count }, (_, i) => Number(times[2 * i + 1] - times[2 * i]) / 1e6);
  } finally {
    resolved.destroy();
    for (const set of sets) set.destroy();
  }
}
