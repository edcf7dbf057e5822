import { presets } from '../src/index.js';

/** What is trained on. */
export const dataNames = ['emoji', 'fashion-mnist'] as const;
export type DataName = (typeof dataNames)[number];

export type Settings = Readonly<Record<string, unknown>>;

/** Training and test images of Fashion-MNIST that are used, evenly spaced; of the emoji, all are. */
export const fashion = { train: 10_240, test: 4_000 };

/** How a linear classifier is trained on the features, by data: enough for its accuracy to settle. */
export const linearOptions = { lr: [0.3, 1], epochs: 30, standardize: true } as const;

/** What a host is wider by, and a teacher too. */
export const ratio = 1.5;

/** Method of the teachers. */
export const teacherMethod = 'barlow_twins';

/** Those that learn from a teacher that is trained before them. */
export const taught: readonly string[] = ['seed', 'disco', 'ssl_small'];

/** Share of its images that SSL-Small spends on distillation. */
export const distilled = 0.25;

const { data: _, protocol: _p, method: _m, ratio: _r, alpha, lambda, projector, steps: _s, ...recipe } = presets.twins;

const correlation = { lambda, projector };
// Averages over 1,000 steps would still be the first weights when a short run ends, and a queue longer than the data would
// hold each image several times. With OSS's usual ε a short run's codes stay even over the prototypes.
const contrast = { queue: 512, ema: 0.99 };

/** Settings of a method on top of the common recipe, tuned for short runs on few images. */
const own: Record<string, Settings> = {
  sacl_xd: { ...correlation, alpha, ratio },
  sacl: { ...correlation, ratio },
  xd: { ...correlation, alpha },
  barlow_twins: correlation,
  moco_v2: contrast,
  byol: { projector, embedding: 128, ema: 0.99 },
  ssl_small: { ...contrast, saturation: null },
  seed: { queue: 512 },
  // as long as the teacher's features, so that no adaptor stands between
  disco: { ...contrast, projector, embedding: 512 * presets.twins.width * ratio },
  rekd: { ...contrast, ratio },
  oss: { projector, ratio, prototypes: 64, epsilon: 0.01 },
};

/** Peak learning rates of SGD, for a batch of 256, that are tried for each method. */
export const triedRates = [0.005, 0.02, 0.08, 0.32];

/** Settings of a method on a data set, those of `change` in place of the common ones. */
export function settingsOf(method: string, data: DataName, change: Settings = {}): Settings {
  const protocol = data === 'emoji' ? 'paired' : 'augmented';
  return { ...recipe, data, protocol, method, ...own[method], ...change };
}
