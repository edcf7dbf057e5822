import type { TrainConfig } from '../../src/config/settings.js';
import type { Tensors } from '../../src/core/state.js';
import { encoderOf } from '../../src/inference/run_file.js';
import { shapesOf } from '../../src/inference/state_dict.js';
import type { DataRecord } from '../../src/node/data/record.js';
import type { OpenSession, SessionTrainer } from '../../src/node/run/pretrain.js';
import { numel } from '../../src/tensor/tensor.js';
import type { StepMetrics } from '../../src/train/trainer.js';

export interface FakeOptions {
  /** Milliseconds a step takes. */
  delay?: number;
  /** The step whose loss is NaN. */
  nanAt?: number;
  adapter?: string;
  choices?: Record<string, string>;
  /** The data that it opens, and the digests of the items to train on. */
  data?: DataRecord;
  digests?: Uint32Array;
  /** Where to wait for ten seconds: 'open' or 'evaluate'. */
  waitAt?: string;
}

/** Stands in for a trainer: its whole state follows from seed and step, through float32 arithmetic that forgets nothing. */
export class FakeTrainer implements SessionTrainer {
  step = 0;
  readonly steps: number;
  readonly choices: Record<string, string>;
  readonly #weights: Float32Array<ArrayBuffer>;
  readonly #moments = new Float32Array(48);
  readonly #config: TrainConfig;
  readonly #options: FakeOptions;

  constructor(config: TrainConfig, options: FakeOptions = {}) {
    this.#config = config;
    this.steps = config.steps ?? 20;
    this.choices = options.choices ?? { pointwise: 'subgroup' };
    this.#weights = Float32Array.from({ length: 48 }, (_, i) => Math.sin(config.seed + i * 1.3));
    this.#options = options;
  }

  async train(): Promise<StepMetrics> {
    const { delay = 0, nanAt } = this.#options;
    if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
    this.step++;
    for (let i = 0; i < 48; i++) {
      this.#moments[i] = 0.9 * this.#moments[i] + Math.cos(this.step * (i + 1)) * 0.1;
      this.#weights[i] -= 0.05 * this.#moments[i];
    }
    if (this.step === nanAt) this.#weights[5] = Number.NaN;
    const share = this.step / this.steps;
    const live = 1 - Math.exp(-3 * share) + 0.02 * this.#weights[0];
    const loss = this.step === nanAt ? Number.NaN : 20 * Math.exp(-2 * share) + this.#weights[1] + 3;
    return {
      step: this.step,
      epoch: Math.floor((this.step - 1) / 10),
      lr: 0.01 * Math.min(1, share * 10) * (0.5 + 0.5 * Math.cos(Math.PI * share)),
      loss,
      sacl: loss * 1.1,
      xd: loss * 0.9 + Math.abs(this.#weights[2]),
      'onDiagonal.live': live,
      'offDiagonal.live': 900 * Math.exp(-3 * share) * (1.2 + 0.2 * this.#weights[3]),
      'onDiagonal.frozenA': Math.sqrt(live),
      'offDiagonal.frozenA': 1100 * Math.exp(-2 * share),
      'onDiagonal.frozenB': Math.sqrt(live) * 0.97,
      'offDiagonal.frozenB': 1300 * Math.exp(-2 * share),
    };
  }

  async save(): Promise<Tensors> {
    return new Map([
      ['weights', { shape: [6, 8], data: this.#weights.slice() }],
      ['moments', { shape: [48], data: this.#moments.slice() }],
    ]);
  }

  async load(step: number, tensors: Tensors): Promise<void> {
    this.step = step;
    this.#weights.set(tensors.get('weights')!.data);
    this.#moments.set(tensors.get('moments')!.data);
  }

  async encoderState(width: 'slim' | 'host'): Promise<Tensors> {
    const shapes = [...shapesOf(encoderOf(this.#config, width))];
    const values = (shape: readonly number[]) =>
      Float32Array.from({ length: numel(shape) }, (_, i) => this.#weights[i % 48]);
    return new Map(shapes.map(([name, shape]) => [name, { shape, data: values(shape) }]));
  }

  async firstNonFinite(): Promise<string | undefined> {
    return this.#weights.every(Number.isFinite) ? undefined : 'features.0.0.weight';
  }

  async correlation(): Promise<{ size: number; data: Float32Array<ArrayBuffer> }> {
    const size = 64;
    const data = Float32Array.from({ length: size * size }, (_, i) =>
      i % (size + 1) === 0 ? 0.9 - 0.3 * Math.abs(Math.sin(i)) : 0.2 * Math.sin(i * i) ** 5,
    );
    return { size, data };
  }

  dispose(): void {}
}

/** Opens a `FakeTrainer` as `pretrain` opens a real one. */
export function fakeSession(options: FakeOptions = {}): OpenSession {
  return async (config, { note }) => {
    note('Training on made-up numbers.');
    const pass = async (phase: string) => {
      if (options.waitAt !== phase) return;
      note(`at ${phase}`);
      await new Promise((resolve) => setTimeout(resolve, 10_000));
    };
    await pass('open');
    return {
      trainer: new FakeTrainer(config, options),
      adapter: options.adapter ?? 'fake adapter',
      images: 1525,
      ...(options.data && { data: options.data }),
      ...(options.digests && { digests: options.digests }),
      evaluate: async () => {
        await pass('evaluate');
        return {
          on: '381 held-out emoji, 9 categories',
          scores: [
            { name: 'slim encoder, trained', knn: 0.53, top1: 0.205, top5: 0.36, effectiveRank: 21.4 },
            { name: 'slim encoder, untrained', knn: 0.37, top1: 0.034, top5: 0.087, effectiveRank: 4.2 },
            { name: 'raw pixels', knn: 0.55, top1: 0.436, top5: 0.564 },
          ],
          notes: ['Raw pixels stay ahead on retrieval at this budget.'],
        };
      },
      dispose: () => undefined,
    };
  };
}
