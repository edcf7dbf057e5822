// What a run computes, by recording its step on a device of no adapter.
import { methodOf, trainerOptionsOf } from '../config/run.js';
import type { TrainConfig } from '../config/settings.js';
import type { Method } from '../methods/method.js';
import { Network } from '../methods/network.js';
import type { Teacher } from '../methods/teacher.js';
import type { ImageBatch } from '../ops/augment.js';
import type { Device } from '../runtime/device.js';
import { type Ledger, ledgerOf } from '../runtime/ledger.js';
import { metaDevice } from '../runtime/meta.js';
import { Plan } from '../runtime/plan.js';
import { statsOf } from '../runtime/stats.js';
import type { Binding } from '../tensor/binding.js';
import { type Settled, settleOptions } from '../train/options.js';
import { Stage, type Stretch, stretchesOf } from '../train/step.js';

/** What a stretch of a run takes, as its steps will be recorded. */
export interface StretchCost {
  /** '' of what the run is about; else of what comes before. */
  readonly name: string;
  readonly steps: number;
  readonly step: Ledger;
}

/** What a run takes. */
export interface RunCost {
  readonly stretches: readonly StretchCost[];
  /** Images in a step. */
  readonly batch: number;
  readonly steps: number;
  /** FLOPs of all steps. */
  readonly flops: number;
  /** Bytes in GPU memory, those of the data set and of a teacher aside. */
  readonly memory: {
    /** Weights, gradients, running statistics, and what the optimizer and the method carry. */
    readonly lasting: number;
    /** Views, activations, and all else that a step makes. */
    readonly transient: number;
  };
}

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
  const all = stretchesOf(method, options, { length: images, name: config.data }).map((stretch) => ({
    stretch,
    ...record(options, method, stretch, like),
  }));
  const stretches = all.map(({ stretch: { name, schedule }, step }) => ({
    name: name.trim(),
    steps: schedule.steps,
    step,
  }));
  const most = (of: 'lasting' | 'transient') => Math.max(...all.map(({ memory }) => memory[of]));
  return {
    stretches,
    batch: config.batch,
    steps: stretches.reduce((sum, { steps }) => sum + steps, 0),
    flops: flopsOf({ stretches }, Number.POSITIVE_INFINITY),
    memory: { lasting: most('lasting'), transient: most('transient') },
  };
}

function record(
  options: Settled,
  method: Method,
  stretch: Stretch,
  like: Device | undefined,
): Pick<RunCost, 'memory'> & { step: Ledger } {
  const device = metaDevice(like);
  const images = unseen(device, options);
  const ofImages = device.allocated;
  const plan = new Plan(device, { label: 'step' });
  new Stage({ plan, stretch, options }, new Network(device, method), images);
  return {
    step: ledgerOf(plan.dispatches),
    memory: { lasting: device.allocated - ofImages, transient: statsOf(plan).heldBytes },
  };
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

/** FLOPs of a run's first steps. */
export function flopsOf({ stretches }: Pick<RunCost, 'stretches'>, steps: number): number {
  let left = steps;
  let flops = 0;
  for (const stretch of stretches) {
    const done = Math.min(left, stretch.steps);
    flops += done * stretch.step.flops;
    left -= done;
  }
  return flops;
}
