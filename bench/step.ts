// A training step as the trainer records it: as a whole, and by phase and kernel from timestamps.

import type { EncoderName } from '../src/config/encoders.js';
import { presets } from '../src/config/presets.js';
import { methodOf, trainerOptionsOf } from '../src/config/run.js';
import { parseConfig, type TrainConfig } from '../src/config/settings.js';
import { runCost } from '../src/cost/run.js';
import { stepText } from '../src/cost/text.js';
import { planarSource } from '../src/data/derived.js';
import type { ImageSource } from '../src/data/source.js';
import type { Device } from '../src/runtime/device.js';
import { type Ledger, ledgerOf } from '../src/runtime/ledger.js';
import type { Plan } from '../src/runtime/plan.js';
import { type PlanStats, statsOf } from '../src/runtime/stats.js';
import { Trainer } from '../src/train/trainer.js';
import { generator } from '../test/random.js';
import { measure, type Rounds, still, typical } from './measure.js';
import type { Roofline } from './roofline.js';
import { digits, mebibytes, percent, Table } from './table.js';

/** Time and work of some dispatches of a step, and the least time that the roofline allows them. */
interface Share extends Work {
  readonly name: string;
  readonly dispatches: number;
  readonly ms: number;
  readonly rooflineMs: number;
}

interface Work {
  readonly macs: number;
  readonly bytes: number;
}

/** One configuration's step. */
export interface StepReport {
  readonly name: string;
  readonly config: TrainConfig;
  /** Wall-clock of a step as users take it: one pass, one submit, metrics read back. */
  readonly stepMs: number;
  readonly imagesPerSecond: number;
  /** JavaScript's share of it: encoding and submitting, a dispatch. */
  readonly jsMicrosecondsADispatch: number;
  /** To a compiled plan, and on to the end of the first step; the driver may have cached shaders before. */
  readonly openMs: number;
  readonly firstStepMs: number;
  readonly stats: PlanStats;
  readonly ledger: Ledger;
  /** Told before anything was allocated, the images aside, and what then was. */
  readonly predictedBytes: number;
  readonly allocatedBytes: number;
  /** The sum over all dispatches, each in a pass of its own. */
  readonly profileMs: number;
  readonly rooflineMs: number;
  readonly phases: readonly Share[];
  readonly kernels: readonly Share[];
}

/** The configurations whose step is measured. */
export const settings = (quick: boolean): Record<string, TrainConfig> => ({
  demo: parseConfig({ ...presets.demo, ...(quick && { batch: 32 }) }),
  'MobileNet-V1 0.5x, host 0.75x, 32 px': parseConfig({
    data: 'emoji',
    protocol: 'paired',
    method: 'sacl_xd',
    width: 0.5,
    ratio: 1.5,
    stemStride: 1,
    projector: 512,
    batch: quick ? 8 : 64,
    steps: 1000,
  }),
});

/** One encoder, Kx-1x with K = 1.5, at its native size by the recipe for it: a step of minutes where a CPU plays the GPU. */
export const ofEncoder = (encoder: EncoderName, imageSize: number, batch: number): Record<string, TrainConfig> => ({
  [`${encoder} 1.5x-1x, ${imageSize} px`]: parseConfig({
    data: 'emoji',
    protocol: 'augmented',
    method: 'sacl_xd',
    encoder,
    imageSize,
    ratio: 1.5,
    projector: imageSize <= 64 ? 2048 : 4096,
    batch,
    steps: 1000,
  }),
});

export async function benchStep(
  device: Device,
  ceilings: Roofline,
  { take, least }: Pick<Rounds, 'take' | 'least'>,
  configs: Readonly<Record<string, TrainConfig>>,
): Promise<StepReport[]> {
  const reports: StepReport[] = [];
  for (const [name, config] of Object.entries(configs)) {
    const report = await timeStep(device, name, config, ceilings, { take, least, span: 0, limit: 0 });
    print(report);
    reports.push(report);
  }
  return reports;
}

async function timeStep(
  device: Device,
  name: string,
  config: TrainConfig,
  ceilings: Roofline,
  rounds: Rounds,
): Promise<StepReport> {
  const source = noise(2 * config.batch, 64);
  const predicted = runCost(config, source.length, undefined, device).memory;
  console.log(
    `\n${name}: batch ${config.batch} x 2 views, ${config.method}; will hold ${mebibytes(predicted.lasting)} of weights and ` +
      `moments and ${mebibytes(predicted.transient)} of a step's slots`,
  );
  const before = device.allocated;
  const started = performance.now();
  const trainer = await Trainer.open(device, methodOf(config), source, trainerOptionsOf(config));
  const openMs = performance.now() - started;
  try {
    await trainer.train();
    const firstStepMs = performance.now() - started;
    const { plan } = trainer;
    const stats = statsOf(plan);

    const steps: number[] = [];
    const encodes: number[] = [];
    for (let i = 0; i < rounds.least; i++) {
      const before = performance.now();
      await trainer.train();
      steps.push(performance.now() - before);
    }
    for (let i = 0; i < rounds.least; i++) {
      const before = performance.now();
      plan.run(still);
      encodes.push(performance.now() - before);
      await device.settled();
    }

    const parts = await profileParts(plan, ceilings, rounds);
    const phases = merge(parts, ({ phase }) => phase);
    const kernels = merge(parts, ({ kernel }) => kernel).sort((a, b) => b.ms - a.ms);
    const stepMs = typical(steps, rounds);
    return {
      name,
      config,
      stepMs,
      imagesPerSecond: (1000 * config.batch) / stepMs,
      jsMicrosecondsADispatch: (1000 * typical(encodes, rounds)) / stats.dispatches,
      openMs,
      firstStepMs,
      stats,
      ledger: ledgerOf(plan.dispatches),
      predictedBytes: predicted.lasting + predicted.transient,
      allocatedBytes: device.allocated - before,
      profileMs: parts.reduce((sum, { ms }) => sum + ms, 0),
      rooflineMs: parts.reduce((sum, { rooflineMs: ms }) => sum + ms, 0),
      phases,
      kernels,
    };
  } finally {
    trainer.dispose();
  }
}

/** What the dispatches of one kernel in one phase take. */
interface Part extends Share {
  readonly phase: string;
  readonly kernel: string;
}

async function profileParts(plan: Plan, { gflops, gbps }: Roofline, rounds: Rounds): Promise<Part[]> {
  const key = ({ phase, label }: { phase: string; label: string }) => `${phase}: ${stemOf(label)}`;
  const costs = await measure(plan, key, rounds);
  return [...costs].map(([name, cost]) => {
    const members = plan.dispatches.filter((dispatch) => key(dispatch) === name);
    const least = ({ macs, bytes }: Work) => Math.max((2 * macs) / gflops, bytes / gbps) / 1e6;
    const rooflineMs = members.reduce((sum, dispatch) => sum + least(dispatch), 0);
    const [{ phase, label }] = members;
    return { ...cost, name, phase, kernel: stemOf(label), dispatches: members.length, rooflineMs };
  });
}

/** Adds up the parts of one name. */
function merge(parts: readonly Part[], nameOf: (part: Part) => string): Share[] {
  const sums = new Map<string, Share>();
  for (const part of parts) {
    const name = nameOf(part);
    const sum = sums.get(name) ?? { dispatches: 0, ms: 0, macs: 0, bytes: 0, rooflineMs: 0 };
    sums.set(name, {
      name,
      dispatches: sum.dispatches + part.dispatches,
      ms: sum.ms + part.ms,
      macs: sum.macs + part.macs,
      bytes: sum.bytes + part.bytes,
      rooflineMs: sum.rooflineMs + part.rooflineMs,
    });
  }
  return [...sums.values()];
}

/** `conv2d` of `conv2d_subgroup.forward_window`: the kernel, whatever its form. */
function stemOf(label: string): string {
  return label.split('.')[0].replace(/_(subgroup|window|strip|tile|weight)$/, '');
}

/** Pairs of images of noise: what they show is of no consequence for the time of a step. */
export function noise(items: number, side: number): ImageSource {
  const random = generator(1);
  const planes = Array.from({ length: items }, () =>
    Uint8Array.from({ length: 3 * side * side }, () => 256 * random()),
  );
  const images = planarSource({ name: 'noise', width: side, height: side }, 3, planes);
  return { ...images, images: 2, load: (item) => images.load(item, 0) };
}

function print(report: StepReport): void {
  const { stats, ledger, profileMs } = report;
  console.log(
    `  a step, one pass and one submit: ${digits(report.stepMs)} ms, ${digits(report.imagesPerSecond)} images/s, ` +
      `${digits((2 * stats.macs) / report.stepMs / 1e6)} GFLOP/s; JS ${digits(report.jsMicrosecondsADispatch)} µs a dispatch`,
  );
  console.log(`  computes ${stepText(ledger)}`);
  console.log(
    `  ${stats.dispatches} dispatches, ${stats.pipelines} pipelines; compiled after ${digits(report.openMs / 1000)} s, ` +
      `first step done after ${digits(report.firstStepMs / 1000)} s`,
  );
  console.log(
    `  memory: ${mebibytes(stats.heldBytes)} for ${stats.slots} slots (most live at once ${mebibytes(stats.peakBytes)}, ` +
      `${(stats.heldBytes / stats.peakBytes).toFixed(2)}x), largest binding ${mebibytes(stats.largestBinding)}, ` +
      `${mebibytes(report.allocatedBytes)} in all, where ${mebibytes(report.predictedBytes)} were predicted beside images and uniforms`,
  );
  console.log(
    '  below: each dispatch in a pass of its own, as timestamps exist at the edges of passes alone; ' +
      `${digits(profileMs)} ms in all, where the roofline allows ${digits(report.rooflineMs)} ms`,
  );
  for (const [head, shares] of [
    ['phase', report.phases],
    ['kernel', report.kernels],
  ] as const) {
    console.log('');
    const table = new Table([
      [head, 20, 'left'],
      ['dispatches', 10],
      ['ms', 8],
      ['share', 6],
      ['GFLOP/s', 8],
      ['GB/s', 7],
      ['roofline ms', 11],
    ]);
    for (const { name, dispatches, ms, macs, bytes, rooflineMs } of shares)
      table.row([
        name || '(none)',
        `${dispatches}`,
        digits(ms),
        percent(ms / profileMs),
        macs > 0 ? digits((2 * macs) / ms / 1e6) : '',
        bytes > 0 ? digits(bytes / ms / 1e6) : '',
        digits(rooflineMs),
      ]);
  }
}
