import { scheduleOf, type TrainConfig } from '../config.js';
import type { Pictures } from '../data/augment.js';
import type { Method } from '../methods/method.js';
import { methods } from '../methods/methods.js';
import { Network } from '../methods/network.js';
import type { Binding } from '../runtime/binding.js';
import type { Device } from '../runtime/device.js';
import { metaDevice } from '../runtime/meta.js';
import { Plan } from '../runtime/plan.js';
import { Stage } from '../train/stage.js';
import { type Ledger, ledgerOf } from './ledger.js';

/** What a run takes, as its own steps will be recorded. */
export interface RunCost {
  readonly step: Ledger;
  readonly steps: number;
  /** Images in a step. */
  readonly batch: number;
  /** FLOPs of all steps. */
  readonly flops: number;
  /** Bytes in GPU memory, those of the data set aside. */
  readonly memory: {
    /** Weights, gradients, running statistics, and what the optimizer and the method carry. */
    readonly lasting: number;
    /** Views, activations, and all else that a step makes. */
    readonly transient: number;
  };
}

/**
 * Records a run's step on a device of no adapter, and adds up what it computes.
 *
 * @param images training images; of no consequence where the configuration counts steps
 * @throws ConfigError where there are fewer images than a batch
 */
export function runCost(config: TrainConfig, images: number): RunCost {
  const device = metaDevice();
  const schedule = scheduleOf(config, images);
  const pictures = unseen(device, config);
  const ofPictures = device.allocated;
  const method: Method = methods[config.method](config);
  const network = new Network(device, method);
  const plan = new Plan(device, { label: 'step' });
  const stage = new Stage(
    { plan, stretch: { name: '', recipe: method, schedule, first: 0 }, config },
    network,
    pictures,
  );
  const step = ledgerOf(plan.dispatches);
  const memory = { lasting: device.allocated - ofPictures, transient: plan.stats().heldBytes };
  stage.dispose();
  network.dispose();
  const { steps } = schedule;
  return { step, steps, batch: config.batch, flops: steps * step.flops, memory };
}

/** Pictures as large as the views; nobody will look at them. */
function unseen(device: Device, { batch, imageSize }: TrainConfig): Pictures {
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
