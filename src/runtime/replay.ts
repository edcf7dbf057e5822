import type { Encoded } from './commands.js';
import type { Device } from './device.js';

// Drivers reset on submissions that take seconds. At the limit per dispatch, forty dispatches take one or two.
const dispatchesASubmit = 40;

/** Submits commands in order, consecutive dispatches in one pass; long steps are split into several submissions. */
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
