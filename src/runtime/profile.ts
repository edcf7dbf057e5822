// GPU time of each dispatch of a plan, by timestamps.
import { DeviceError } from '../errors.js';
import type { Encoded, ProfileEntry } from './commands.js';
import type { Device } from './device.js';
import { bufferUsage } from './flags.js';
import type { Plan } from './plan.js';
import type { StepScalars } from './step_scalars.js';

/**
 * Runs a compiled plan once with one pass and one pair of timestamps per dispatch. For measurement only: it creates a query set.
 *
 * @throws DeviceError where the adapter has no timestamps; ValidationError as `plan.run`
 */
export async function profile(plan: Plan, scalars: Partial<StepScalars> = {}): Promise<ProfileEntry[]> {
  const times = await replayTimed(plan.device, plan.label, plan.encoded(scalars));
  return plan.dispatches.map(({ label, phase, macs, bytes }, i) => ({ label, phase, ms: times[i], macs, bytes }));
}

const perSet = 2048; // dispatches, two queries each: WebGPU allows 4096 queries a set

/** Submits commands with one pass and one pair of timestamps per dispatch, and returns the milliseconds of each dispatch. */
async function replayTimed(device: Device, label: string, commands: readonly Encoded[]): Promise<number[]> {
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
