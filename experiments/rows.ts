import { methodNames, parseConfig } from '../src/index.js';
import { attempt, type Budget, type Experiment, experimentOf, isRefused, type Refused } from './experiment.js';
import { type Line, lineOf } from './results.js';
import {
  type DataName,
  dataNames,
  distilled,
  ratio,
  type Settings,
  settingsOf,
  taught,
  teacherMethod,
  triedRates,
} from './settings.js';

export const tableNames = ['epochs', 'flops', 'ratio', 'alpha', 'slice', 'bn', 'distilled', 'rates'] as const;
export type TableName = (typeof tableNames)[number];

/** A row of a table: one experiment a seed. */
export interface Row {
  readonly data: DataName;
  readonly table: TableName;
  readonly name: string;
  readonly method: string;
  readonly planned: readonly (Experiment | Refused)[];
}

/** Rows of encoders as the seed makes them: a slice of a wider one, and one on its own. */
export const untrained = { slice: 'untrained slice', lone: 'untrained encoder' } as const;

export interface Scale {
  /** Images that a run sees at equal epochs. */
  readonly images: number;
  readonly seeds: number;
  /** Training images, or pairs, of each data set; or why it cannot be had. */
  readonly items: Readonly<Record<DataName, number | Refused>>;
  /** Peak learning rates by method, as `bestRates` chooses them; the demo's where none is named. */
  readonly rates?: Readonly<Record<string, number>>;
  /** Where teachers are kept. */
  readonly cache: string;
  /** In place of what all runs have in common. */
  readonly change?: Settings;
}

/** The seed by which learning rates are chosen; no table of methods uses it. */
export const ratesSeed = 1000;

/** Every row of every table, in the order in which they are printed. */
export function rowsOf(scale: Scale): Row[] {
  const seeds = Array.from({ length: scale.seeds }, (_, seed) => seed);
  return dataNames.flatMap((data) => {
    const plan = new Planner(scale, data);
    const over = (make: (seed: number) => Experiment, of = seeds) => of.map((seed) => plan.attempt(() => make(seed)));
    const row = (table: TableName, name: string, method: string, planned: Row['planned']): Row => ({
      data,
      table,
      name,
      method,
      planned,
    });
    const control = (table: TableName, name: string, subject: Experiment['subject'], method: string) =>
      row(
        table,
        name,
        subject,
        over((seed) => ({ ...plan.equalEpochs(method, seed), subject, flops: 0 })),
      );
    const controls = (table: TableName) => [
      control(table, untrained.slice, 'untrained', 'sacl_xd'),
      control(table, untrained.lone, 'untrained', 'barlow_twins'),
      control(table, 'raw pixels', 'raw pixels', 'sacl_xd'),
    ];
    const ablation = (table: TableName, key: string, values: readonly unknown[]) =>
      values.map((value) =>
        row(
          table,
          `${key} ${value}`,
          'sacl_xd',
          over((seed) => plan.equalEpochs('sacl_xd', seed, { [key]: value })),
        ),
      );
    const teacher = `teacher: ${teacherMethod}, ${ratio}x`;
    const compared = (table: TableName, make: (m: string, seed: number) => Experiment, budget: () => Budget) => [
      ...controls(table),
      ...methodNames.map((m) =>
        row(
          table,
          m,
          m,
          over((seed) => make(m, seed)),
        ),
      ),
      row(
        table,
        teacher,
        'teacher',
        over((seed) => plan.teacher(seed, budget())),
      ),
    ];
    const tables = [
      ...compared(
        'epochs',
        (m, seed) => plan.equalEpochs(m, seed),
        () => ({ steps: plan.steps }),
      ),
      ...compared(
        'flops',
        (m, seed) => plan.equalFlops(m, seed),
        () => plan.half,
      ),
    ];
    if (data !== 'emoji') return tables;
    return [
      ...tables,
      ...ablation('ratio', 'ratio', [1, 1.25, 1.5, 2]),
      ...ablation('alpha', 'alpha', [1, 0.95, 0.9, 0.5]),
      ...ablation('slice', 'slice', ['prefix', 'l1']),
      ...ablation('bn', 'bn', ['split', 'shared', 'private']),
      ...ablation('distilled', 'xd', ['cross', 'inner']),
      row(
        'distilled',
        'xd inner, equal FLOPs',
        'sacl_xd',
        over((seed) => plan.equalFlops('sacl_xd', seed, { xd: 'inner' })),
      ),
      ...methodNames.flatMap((m) =>
        triedRates.map((lr) =>
          row(
            'rates',
            `${m}, lr ${lr}`,
            m,
            over((seed) => plan.equalEpochs(m, seed, { lr }), [ratesSeed]),
          ),
        ),
      ),
    ];
  });
}

/** The learning rate of each method with the best mean of kNN and linear accuracy, of those whose tried rates are all in. */
export function bestRates(rows: readonly Row[], byKey: ReadonlyMap<string, Line>): Record<string, number> {
  const best: Record<string, number> = {};
  for (const method of methodNames) {
    const tried = rows
      .filter((row) => row.table === 'rates' && row.method === method)
      .map(({ planned: [experiment] }) => {
        const line = isRefused(experiment) ? undefined : lineOf(byKey, experiment);
        if (!line || isRefused(experiment)) return undefined;
        const { knn, linear } = line.scores ?? { knn: 0, linear: 0 };
        return { lr: experiment.config.lr, value: knn + linear };
      });
    const known = tried.filter((rate) => rate !== undefined);
    if (known.length === tried.length && known.length > 0)
      best[method] = known.reduce((a, b) => (b.value > a.value ? b : a)).lr;
  }
  return best;
}

/**
 * The experiments of these rows, each once, in the order that makes most of a budget that ends early: a first seed of all
 * before a second of any.
 */
export function queueOf(rows: readonly Row[], keyOf: (experiment: Experiment) => string): Experiment[] {
  const most = Math.max(0, ...rows.map(({ planned }) => planned.length));
  const all = Array.from({ length: most }, (_, i) => rows.map(({ planned }) => planned[i])).flat();
  const found = new Map<string, Experiment>();
  for (const planned of all) {
    if (!planned || isRefused(planned)) continue;
    const key = keyOf(planned);
    if (!found.has(key)) found.set(key, planned);
  }
  return [...found.values()];
}

/** Makes the experiments on one data set. */
class Planner {
  readonly steps: number;
  readonly #scale: Scale;
  readonly #data: DataName;
  readonly #batch: number;

  constructor(scale: Scale, data: DataName) {
    this.#scale = scale;
    this.#data = data;
    this.#batch = Number(this.#settings(teacherMethod, 0).batch);
    this.steps = Math.max(1, Math.round(scale.images / this.#batch));
  }

  attempt(make: () => Experiment): Experiment | Refused {
    const items = this.#scale.items[this.#data];
    return typeof items === 'number' ? attempt(make) : items;
  }

  /** FLOPs of a teacher's training where FLOPs are equal, and of what learns from it. */
  get half(): Budget {
    return { flops: this.equalEpochs('sacl_xd', 0).flops / 2 };
  }

  equalEpochs(method: string, seed: number, change: Settings = {}): Experiment {
    return this.#make(method, seed, { steps: this.steps }, { steps: this.steps }, change);
  }

  /** As many FLOPs as SACL+XD has at equal epochs. A teacher that is trained before takes half of them. */
  equalFlops(method: string, seed: number, change: Settings = {}): Experiment {
    const { flops } = this.equalEpochs('sacl_xd', 0);
    return this.#make(method, seed, taught.includes(method) ? this.half : { flops }, this.half, change);
  }

  teacher(seed: number, budget: Budget): Experiment {
    const { lr } = settingsOf(teacherMethod, this.#data); // one teacher, whatever rate is best for its method
    const { width } = parseConfig(this.#settings(teacherMethod, seed));
    return experimentOf(this.#settings(teacherMethod, seed, { width: width * ratio, lr }), budget, this.#items);
  }

  #make(method: string, seed: number, budget: Budget, ofTeacher: Budget, change: Settings): Experiment {
    const settings = this.#settings(method, seed, change);
    if (!taught.includes(method)) return experimentOf(settings, budget, this.#items);
    if (method === 'ssl_small')
      return this.#distilled(settings, budget, this.#make('seed', seed, this.#part, ofTeacher, change));
    const teacher = this.teacher(seed, ofTeacher);
    const file = { teacher: fileOf(this.#scale.cache, teacher) };
    return experimentOf({ ...settings, ...file }, budget, this.#items, { teacher });
  }

  #distilled(settings: Settings, budget: Budget, start: Experiment): Experiment {
    return experimentOf({ ...settings, init: fileOf(this.#scale.cache, start) }, budget, this.#items, { start });
  }

  /** What SSL-Small spends on distillation, in whole epochs. */
  get #part(): Budget {
    const epochs = Math.max(1, Math.round((distilled * this.steps * this.#batch) / this.#items));
    return { steps: epochs * Math.floor(this.#items / this.#batch) };
  }

  #settings(method: string, seed: number, change: Settings = {}): Settings {
    const { rates = {}, change: common } = this.#scale;
    const lr = method in rates ? { lr: rates[method] } : {};
    return { ...settingsOf(method, this.#data), ...lr, ...common, seed, ...change };
  }

  get #items(): number {
    return this.#scale.items[this.#data] as number;
  }
}

/** Where an encoder is kept between the runs that learn or start from it. */
function fileOf(cache: string, { config }: Experiment): string {
  const { data, method, width, steps, seed } = config;
  return `${cache}/${data}-${method}-${width}-${steps}-${seed}.safetensors`;
}
