// Views of a batch of images: random augmentations, or the center crop of evaluation. Random draws depend only on (seed,
// step, sample, view).
import { expectArguments, expectMemory } from '../checks/arguments.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import { textOf } from '../checks/text_of.js';
import { ConfigError } from '../errors.js';
import { augment as kernel } from '../generated/augment.js';
import type { Plan } from '../runtime/plan.js';
import type { Binding } from '../tensor/binding.js';
import { type Precision, type Tensor, transient } from '../tensor/tensor.js';

type Range = readonly [min: number, max: number];
type Color = readonly [r: number, g: number, b: number];

/** A batch of images in GPU memory, as a `Loader` provides it. */
export interface ImageBatch {
  /** Images in the batch. */
  readonly batch: number;
  /** Upper bound on the side of an image. */
  readonly maxSide: number;
  readonly bindings: {
    /** u32 RGBA, red lowest, row by row; alpha is ignored. */
    readonly pixels: Binding;
    /** Four u32 per stored image: offset of its first pixel, width, height, 0. */
    readonly table: Binding;
    /** Four u32 per batch element: sample index, table index for view 0, table index for view 1, 0. */
    readonly batch: Binding;
  };
}

/** Statistics that pixels in 0..1 are normalized by: (value − mean) / std, per channel. */
export interface Normalization {
  readonly mean: Color;
  readonly std: Color;
}

/** The random transformations of a view, in order of application. Numbers without a comment are probabilities. */
export interface Augmentation extends Normalization {
  /** Side of the view in pixels. */
  readonly size: number;
  /** Area of the crop relative to the image, and its aspect ratio (width / height). */
  readonly crop: {
    readonly scale: Range;
    readonly ratio: Range;
    /** The largest window of an allowed ratio, at the center, whatever `scale` says; a random one if omitted. */
    readonly centered?: boolean;
  };
  /**
   * With probability p, the crop is rotated about its center by an angle within ± degrees (0 to 180). All crops are then means of
   * bilinear samples, clamped to the image's edge; if omitted, they are bicubic.
   */
  readonly rotate?: { readonly p: number; readonly degrees: number };
  readonly flip: number;
  /** With probability p, in random order: factors in 1 ± strength, and a hue shift in ± strength turns. */
  readonly jitter: {
    readonly p: number;
    readonly brightness: number;
    readonly contrast: number;
    readonly saturation: number;
    readonly hue: number;
  };
  readonly grayscale: number;
  /** Sigma and window in pixels; the window is odd. */
  readonly blur: { readonly p: number; readonly sigma: Range; readonly window: number };
  /** Inverts values of 0.5 and above. */
  readonly solarize: number;
}

/** The fixed transformation of evaluation: the shorter side to `resize`, then the center of `size` x `size` pixels. */
export interface CenterCrop extends Normalization {
  readonly size: number;
  /** Default `size`, which for square images is a plain resize. */
  readonly resize?: number;
}

const statistics: Kinds<Normalization> = { mean: 'array', std: 'array' };
const cropOptions: Kinds<CenterCrop> = { ...statistics, size: 'number', resize: 'number' };
const augmentation: Kinds<Augmentation> = {
  ...statistics,
  size: 'number',
  crop: 'object',
  rotate: 'object',
  flip: 'number',
  jitter: 'object',
  grayscale: 'number',
  blur: 'object',
  solarize: 'number',
};
const cropRanges: Kinds<Augmentation['crop']> = {
  scale: 'array',
  ratio: 'array',
  centered: 'boolean',
};
const rotation: Kinds<NonNullable<Augmentation['rotate']>> = { p: 'number', degrees: 'number' };
const jitterSettings: Kinds<Augmentation['jitter']> = {
  p: 'number',
  brightness: 'number',
  contrast: 'number',
  saturation: 'number',
  hue: 'number',
};
const blurSettings: Kinds<Augmentation['blur']> = { p: 'number', sigma: 'array', window: 'number' };

/** Mean and standard deviation of ImageNet's pixels. */
export const imagenetStatistics: Normalization = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

/** Whether images are as small as CIFAR's, for which recipes omit blur and encoders their first strides. */
export const isSmall = (imageSize: number) => imageSize <= 64;

/** The augmentations of both views for an image size (DESIGN.md, "Views"). Blur only above 64 pixels, its window a tenth of the size. */
export function defaultViews(size: number): [Augmentation, Augmentation] {
  const shared = {
    size,
    crop: { scale: [0.08, 1], ratio: [3 / 4, 4 / 3] },
    flip: 0.5,
    jitter: { p: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.2, hue: 0.1 },
    grayscale: 0.2,
    ...imagenetStatistics,
  } as const;
  const blur = { sigma: [0.1, 2], window: 2 * Math.floor(size / 20) + 1 } as const;
  const blurred = !isSmall(size);
  return [
    { ...shared, blur: { ...blur, p: blurred ? 1 : 0 }, solarize: 0 },
    { ...shared, blur: { ...blur, p: blurred ? 0.1 : 0 }, solarize: 0.2 },
  ];
}

/** A view without random changes: the largest square at the image's center, resized, as evaluation does it. */
export const cleanView = (size: number): Augmentation => ({
  size,
  crop: { scale: [1, 1], ratio: [1, 1], centered: true },
  flip: 0,
  jitter: { p: 0, brightness: 0, contrast: 0, saturation: 0, hue: 0 },
  grayscale: 0,
  blur: { p: 0, sigma: [1, 1], window: 1 },
  solarize: 0,
  ...imagenetStatistics,
});

/**
 * Records an augmented view of the batch: (N, 3, size, size) f32. Random draws depend only on the run's seed and step, each
 * sample's index in its data set, and `view`.
 *
 * @param view which view, 0 or 1; with paired images also which image
 * @throws ConfigError on options out of range
 */
export function augment(
  plan: Plan,
  images: ImageBatch,
  view: 0 | 1,
  options: Augmentation,
  precision: Precision = 'f32',
): Tensor {
  expectImages('augment', plan, images);
  checkAugmentation(options);
  return record(plan, images, augmentParams(images, view, options), options.blur.p > 0, precision);
}

/** Records the evaluation view of the batch: (N, 3, size, size) f32, without randomness. */
export function centerCrop(plan: Plan, images: ImageBatch, options: CenterCrop, view: 0 | 1 = 0): Tensor {
  expectImages('centerCrop', plan, images);
  const { size, resize = size } = expectOptions('centerCrop', options, cropOptions);
  checkSize(options);
  expect(Number.isInteger(resize) && resize >= size, 'resize', `a whole number of at least size = ${size}`, resize);
  return record(plan, images, { ...neutral, ...shape(images, view, options), random: 0, resize }, false, 'f32');
}

function expectImages(where: string, plan: Plan, images: ImageBatch): void {
  expectArguments(where, { plan });
  const { batch, maxSide, bindings } = Object(images);
  if (![batch, maxSide].every((count) => Number.isInteger(count) && count >= 1))
    throw new ConfigError(`${where}: expected the images of a Loader, got ${textOf(images)}`);
  for (const name of ['pixels', 'table', 'batch']) expectMemory(where, `bindings.${name}`, Object(bindings)[name]);
}

/** The kernel's parameters for a view of the whole batch. */
export function augmentParams(images: ImageBatch, view: 0 | 1, options: Augmentation) {
  const { crop, jitter, blur, rotate } = options;
  const turn = rotate && rotate.p > 0 ? rotate.degrees / 90 : 0;
  return {
    ...shape(images, view, options),
    random: 1,
    tries: crop.centered ? 0 : 10,
    resize: options.size,
    scale_min: crop.scale[0],
    scale_max: crop.scale[1],
    ratio_min: crop.ratio[0],
    ratio_max: crop.ratio[1],
    flip: options.flip,
    jitter: jitter.p,
    grayscale: options.grayscale,
    blur: blur.p,
    solarize: options.solarize,
    brightness: jitter.brightness,
    contrast: jitter.contrast,
    saturation: jitter.saturation,
    hue: jitter.hue,
    radius: (blur.window - 1) / 2,
    sigma_min: blur.sigma[0],
    sigma_max: blur.sigma[1],
    rotate: rotate && turn > 0 ? rotate.p : 0,
    turn,
  };
}

type Params = ReturnType<typeof augmentParams>;

// not read without randomness
const neutral = {
  tries: 0,
  scale_min: 1,
  scale_max: 1,
  ratio_min: 1,
  ratio_max: 1,
  flip: 0,
  jitter: 0,
  grayscale: 0,
  blur: 0,
  solarize: 0,
  brightness: 0,
  contrast: 0,
  saturation: 0,
  hue: 0,
  radius: 0,
  sigma_min: 1,
  sigma_max: 1,
  rotate: 0,
  turn: 0,
};

function shape(images: ImageBatch, view: 0 | 1, { size, mean, std }: CenterCrop) {
  return {
    N: images.batch,
    side: size,
    R: Math.max(size, images.maxSide),
    first: 0,
    view,
    mean_r: mean[0],
    mean_g: mean[1],
    mean_b: mean[2],
    std_r: std[0],
    std_g: std[1],
    std_b: std[2],
  };
}

const drawBytes = 96;
const blockBytes = 16;
const pixelBytes = 16; // of the images between passes
const chunkBytes = 64 << 20; // upper bound for these: larger batches are processed in parts

function record(plan: Plan, images: ImageBatch, params: Params, blurred: boolean, precision: Precision): Tensor {
  expect(params.view === 0 || params.view === 1, 'view', '0 or 1', params.view);
  const { N, side, R } = params;
  const x = transient(plan, `augment.x${params.view}`, [N, 3, side, side], precision);
  const part = Math.max(1, Math.min(N, Math.floor(chunkBytes / (R * side * pixelBytes))));
  if (params.random === 1) plan.needs('augment', 'seed');
  plan.phase('augment', () => {
    for (let first = 0; first < N; first += part)
      recordPart(plan, images, { ...params, first, N: Math.min(part, N - first) }, blurred, x);
  });
  return x;
}

function recordPart(plan: Plan, images: ImageBatch, params: Params, blurred: boolean, x: Tensor): void {
  const { N, side, R } = params;
  const { pixels, table, batch } = images.bindings;
  const draws = whole(plan, 'augment.draws', N * drawBytes);
  const rows = whole(plan, 'augment.rows', N * R * side * pixelBytes);
  const image = whole(plan, 'augment.image', N * side * side * pixelBytes);
  const groups = (threads: number) => [Math.ceil(threads / 64), N, 1] as const;
  const rowGroups = groups(side * Math.ceil(images.maxSide / kernel.consts.ROWS.value));
  const columnGroups = groups(side * Math.ceil(side / kernel.consts.COLUMNS.value));

  const words = whole(plan, 'augment.words', N * kernel.consts.BLOCKS.value * blockBytes);
  if (params.random === 1)
    plan.dispatch(kernel, 'draw_words', {
      params,
      bindings: { batch, words },
      workgroups: Math.ceil((N * kernel.consts.BLOCKS.value) / 64),
      bytes: words.bytes + 16 * N,
    });
  plan.dispatch(kernel, 'draw', {
    params,
    bindings: { table, batch, given: words, drawn: draws },
    workgroups: Math.ceil(N / 64),
    bytes: words.bytes + draws.bytes + 32 * N,
  });
  if (params.turn > 0)
    plan.dispatch(kernel, 'crop_turned', {
      params,
      bindings: { pixels, table, batch, draws, new_image: image },
      workgroups: groups(side * side),
      bytes: N * (4 * images.maxSide ** 2 + pixelBytes * side ** 2),
    });
  else {
    plan.dispatch(kernel, 'crop_rows', {
      params,
      bindings: { pixels, draws, new_rows: rows },
      workgroups: rowGroups,
      bytes: N * images.maxSide * (4 * images.maxSide + pixelBytes * side),
    });
    plan.dispatch(kernel, 'crop_columns', {
      params,
      bindings: { draws, rows, new_image: image },
      workgroups: columnGroups,
      bytes: N * side * pixelBytes * (images.maxSide + side),
    });
  }
  if (!blurred) {
    plan.dispatch(kernel, 'tone_finish', {
      params,
      bindings: { draws, new_image: image, x },
      workgroups: [N, 1, 1],
      bytes: image.bytes + (3 / 4) * image.bytes,
    });
    return;
  }
  plan.dispatch(kernel, 'tone', {
    params,
    bindings: { draws, new_image: image },
    workgroups: [N, 1, 1],
    bytes: 2 * image.bytes,
  });
  plan.dispatch(kernel, 'blur_rows', {
    params,
    bindings: { draws, image, new_rows: rows },
    workgroups: groups(side * side),
    bytes: 2 * image.bytes,
  });
  plan.dispatch(kernel, 'blur_finish', {
    params,
    bindings: { draws, rows, x },
    workgroups: groups(side * side),
    bytes: image.bytes + (3 / 4) * image.bytes,
  });
}

function whole(plan: Plan, label: string, bytes: number): Binding {
  return { storage: plan.slot(label, bytes), offset: 0, bytes };
}

function expect(holds: boolean, name: string, expected: string, got: unknown): void {
  if (!holds) throw new ConfigError(`augment: expected ${name} to be ${expected}, got ${got}`);
}

function checkSize({ size, mean, std }: CenterCrop): void {
  expect(Number.isInteger(size) && size >= 1 && size <= 2048, 'size', 'a whole number from 1 to 2048', size);
  expect(mean?.length === 3 && mean.every(Number.isFinite), 'mean', 'three numbers', mean);
  expect(
    std?.length === 3 && std.every((s) => s > 0 && s < Number.POSITIVE_INFINITY),
    'std',
    'three numbers above 0',
    std,
  );
}

function checkAugmentation(options: Augmentation): void {
  const { crop, jitter, blur, rotate } = expectOptions('augment', options, augmentation);
  expectOptions('augment: crop', crop, cropRanges);
  if (rotate) expectOptions('augment: rotate', rotate, rotation);
  expectOptions('augment: jitter', jitter, jitterSettings);
  expectOptions('augment: blur', blur, blurSettings);
  checkSize(options);
  const range = (name: string, given: Range | undefined, highest: number) => {
    const [min, max] = given ?? [Number.NaN, Number.NaN];
    const holds = given?.length === 2 && given.every(Number.isFinite) && min > 0 && min <= max && max <= highest;
    expect(holds, name, `two rising numbers above 0, at most ${highest}`, `${min}, ${max}`);
  };
  range('crop.scale', crop.scale, 1);
  range('crop.ratio', crop.ratio, 100);
  range('blur.sigma', blur.sigma, 100);
  const { p, degrees } = rotate ?? { p: 0, degrees: 0 };
  expect(degrees >= 0 && degrees <= 180, 'rotate.degrees', 'a number from 0 to 180', degrees);
  const probabilities = {
    'rotate.p': p,
    flip: options.flip,
    'jitter.p': jitter.p,
    grayscale: options.grayscale,
    'blur.p': blur.p,
    solarize: options.solarize,
  };
  for (const [name, p] of Object.entries(probabilities)) expect(p >= 0 && p <= 1, name, 'a probability', p);
  for (const name of ['brightness', 'contrast', 'saturation'] as const)
    expect(jitter[name] >= 0 && jitter[name] <= 10, `jitter.${name}`, 'a number from 0 to 10', jitter[name]);
  expect(jitter.hue >= 0 && jitter.hue <= 0.5, 'jitter.hue', 'a number from 0 to 0.5', jitter.hue);
  const widest = 2 * options.size - 1; // a border is reflected once at most
  const fits = blur.window % 2 === 1 && blur.window <= widest;
  expect(fits, 'blur.window', `an odd number of pixels, at most ${widest}`, blur.window);
}
