// The cost of a whole training, as published costs are counted: networks, passes, images, epochs.
import { expectFinite } from '../checks/one_of.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import { type EncoderName, encoderNames } from '../config/encoders.js';
import { type MethodName, methodNames, methods } from '../config/methods.js';
import { unknown } from '../config/names.js';
import { ConfigError } from '../errors.js';
import type { Passes, Role } from '../methods/settings.js';
import { isSmall } from '../ops/augment.js';
import { type PublishedWork, publishedWork } from './work.js';

export interface TrainingSpec {
  readonly method: MethodName;
  readonly encoder: EncoderName;
  /** Width of the slim encoder against the published network; default 1. */
  readonly width?: number;
  /** K: how many times as wide the host is; default 1.5 for methods that slice one. */
  readonly ratio?: number;
  readonly epochs: number;
  /** Images of an epoch; default ImageNet's. */
  readonly images?: number;
  /** Default 224. */
  readonly imageSize?: number;
  /** Architecture of the teacher, for methods that have one. */
  readonly teacher?: EncoderName;
  /** Epochs of the teacher's own training, where that comes first; default 800. */
  readonly teacherEpochs?: number;
}

const trainingSpec: Kinds<TrainingSpec> = {
  method: 'string',
  encoder: 'string',
  width: 'number',
  ratio: 'number',
  epochs: 'number',
  images: 'number',
  imageSize: 'number',
  teacher: 'string',
  teacherEpochs: 'number',
};

/** One network's share of a training: `work` × `times` × images × `epochs`. */
export interface NetworkCost {
  readonly role: Role;
  readonly encoder: EncoderName;
  /** Width against the published network. */
  readonly width: number;
  /** One image's forward through the whole published network. */
  readonly work: PublishedWork;
  /** FLOPs a multiply-add of that forward: 2 for each pass that does not go back, 6 for one that does. */
  readonly times: number;
  readonly epochs: number;
  /** Of the whole training, counted from `work.thop`, and from its multiply-adds alone. */
  readonly flops: number;
  readonly macFlops: number;
}

export interface TrainingCost {
  readonly images: number;
  readonly imageSize: number;
  readonly shares: readonly NetworkCost[];
  readonly flops: number;
  readonly macFlops: number;
}

/** Training images of ImageNet-1K. */
export const imagenetImages = 1_281_167;

const roles: readonly Role[] = ['host', 'slim', 'teacher'];
const beforehand: Passes = { trained: 2 }; // a teacher's own training: both views

/**
 * FLOPs of a training, as the published column counts them: 2 a multiply-add of every forward and 4 of every pass that goes
 * back, of whole networks at their published resolution, without heads, losses and updates. A teacher counts by its
 * training, along with the method's or before it; its forwards as a frozen teacher do not count.
 *
 * @throws ConfigError for a name that is not known, a teacher where none is used, one that is missing, or a ratio where nothing
 * is sliced
 */
export function trainingCost(spec: TrainingSpec): TrainingCost {
  expectOptions('trainingCost', spec, trainingSpec);
  const { method, encoder, width = 1, epochs, images = imagenetImages, imageSize = 224, teacherEpochs = 800 } = spec;
  for (const [name, value] of Object.entries({ epochs, images, teacherEpochs }))
    expectFinite(`cost: ${name}`, value, 0);
  if (!Number.isInteger(imageSize))
    throw new ConfigError(`cost: expected an imageSize of whole pixels, got ${imageSize}`);
  const ratio = check(spec);
  const used = methods[method].passes;
  const shares = roles.flatMap((role): NetworkCost[] => {
    const passes = used[role];
    if (!passes) return [];
    if (role === 'teacher') {
      const along = passes.trained !== undefined;
      const counted = along ? { trained: passes.trained } : beforehand;
      const network = { role, encoder: spec.teacher as EncoderName, width: 1, ratio: 1 };
      return [share(network, counted, { epochs: along ? epochs : teacherEpochs, images, imageSize })];
    }
    return [share({ role, encoder, width, ratio }, passes, { epochs, images, imageSize })];
  });
  const sum = (of: (share: NetworkCost) => number) => shares.reduce((total, share) => total + of(share), 0);
  return { images, imageSize, shares, flops: sum(({ flops }) => flops), macFlops: sum(({ macFlops }) => macFlops) };
}

/** The cost of a pass in forwards: one, and where it is trained two more, for the gradients of inputs and of weights. */
export function forwards({ trained = 0, frozen = 0 }: Passes): number {
  return 3 * trained + frozen;
}

function share(
  { role, encoder, width, ratio }: { role: Role; encoder: EncoderName; width: number; ratio: number },
  passes: Passes,
  { epochs, images, imageSize }: { epochs: number; images: number; imageSize: number },
): NetworkCost {
  const isHost = role === 'host';
  const stemStride = isSmall(imageSize) ? 1 : 2;
  const work = publishedWork({ encoder, width, ratio, stemStride, blocks: null }, isHost ? 'host' : 'slim', imageSize);
  const times = 2 * forwards(passes);
  const all = times * images * epochs;
  const flops = { flops: all * work.thop, macFlops: all * work.macs };
  return { role, encoder, width: isHost ? width * ratio : width, work, times, epochs, ...flops };
}

/** Refuses what does not go together; gives the ratio. */
function check({ method, encoder, ratio, teacher, teacherEpochs }: TrainingSpec): number {
  if (!methodNames.includes(method)) throw unknown('method', method, methodNames);
  if (!encoderNames.includes(encoder)) throw unknown('encoder', encoder, encoderNames);
  if (teacher !== undefined && !encoderNames.includes(teacher)) throw unknown('teacher', teacher, encoderNames);
  const used = methods[method].passes;
  if (used.teacher && teacher === undefined)
    throw new ConfigError(`cost: ${method} learns from a teacher; name its architecture, as by --teacher resnet50`);
  if (!used.teacher && teacher !== undefined)
    throw new ConfigError(
      `cost: ${method} is counted without a teacher, got ${teacher}; leave it out, or choose seed, disco, rekd or oss`,
    );
  if (teacherEpochs !== undefined && !(used.teacher && used.teacher.trained === undefined))
    throw new ConfigError(`cost: ${method} has no teacher that is trained beforehand; leave out teacherEpochs`);
  if (!used.host && ratio !== undefined && ratio !== 1)
    throw new ConfigError(
      `cost: ${method} slices no host, got ratio ${ratio}; leave it out, or choose sacl_xd or sacl`,
    );
  return ratio ?? (used.host ? 1.5 : 1);
}
