// What a run computes, by recording its step on a device of no adapter.
import { methodOf, trainerOptionsOf } from '../config/run.js';
import type { TrainConfig } from '../config/settings.js';
import { Network } from '../methods/network.js';
import type { Teacher } from '../methods/teacher.js';
import type { ImageBatch } from '../ops/augment.js';
import type { Device } from '../runtime/device.js';
import { metaDevice } from '../runtime/meta.js';
import { Plan } from '../runtime/plan.js';
import type { Binding } from '../tensor/binding.js';
import { type RunCost, runCostOf } from '../train/cost.js';
import { type Settled, settleOptions } from '../train/options.js';
import { scheduleOf } from '../train/schedule.js';
import { TrainingStep } from '../train/step.js';

/**
 * Records a run's steps on a device of no adapter, and adds up what they compute.
 *
 * @param images training images; of no consequence where the configuration counts steps
 * @param teacher what the method learns from, where it does; of its weights only the shapes matter
 * @param like the device that it is for: which kernels run, and so how large their intermediate results are, depends on it
 * @throws ConfigError where there are fewer images than a batch, or no teacher where one is needed; OutOfMemoryError where a
 * tensor is over the limits of `like`
 */
export function runCost(config: TrainConfig, images: number, teacher?: Teacher, like?: Device): RunCost {
  const method = methodOf(config, teacher);
  const options = settleOptions(trainerOptionsOf(config));
  const schedule = scheduleOf(options, { length: images, name: config.data });
  const device = metaDevice(like);
  const unread = unseen(device, options);
  const ofImages = device.allocated;
  const plan = new Plan(device, { label: 'step' });
  new TrainingStep(plan, { method, schedule, options }, new Network(device, method), unread);
  return runCostOf(plan, schedule, options, device.allocated - ofImages);
}

/** Placeholder images of the views' size; the meta device never reads them. */
function unseen(device: Device, { batch, imageSize }: Settled): ImageBatch {
  const bind = (label: string, bytes: number): Binding => ({ storage: device.buffer(label, bytes), offset: 0, bytes });
  return {
    batch,
    maxSide: imageSize,
    bindings: {
      pixels: bind('pixels', 4 * batch * imageSize ** 2),
      table: bind('table', 16 * batch),
      batch: bind('batch', 16 * batch),
    },
  };
}
