// A training step with tuned kernels and one with the default ones, in turns.
import { methodOf, trainerOptionsOf } from '../src/config/run.js';
import type { TrainConfig } from '../src/config/settings.js';
import type { Device } from '../src/runtime/device.js';
import { tune } from '../src/runtime/tuner.js';
import { Trainer } from '../src/train/trainer.js';
import { type Rounds, typical } from './measure.js';
import { noise, settings } from './step.js';
import { digits } from './table.js';

/** What tuning gained for one configuration. */
export interface TunedReport {
  readonly name: string;
  readonly problems: number;
  readonly tuningMs: number;
  /** The choices that are not the default. */
  readonly changed: Readonly<Record<string, string>>;
  readonly standardMs: number;
  readonly tunedMs: number;
}

/** Tunes each step of `bench --step` afresh, without a cache. */
export async function benchTuned(device: Device, take: Rounds['take'], quick: boolean): Promise<TunedReport[]> {
  const reports: TunedReport[] = [];
  for (const [name, config] of Object.entries(settings(quick))) {
    const report = await compare(device, name, config, { take, least: quick ? 1 : 9 });
    console.log(
      `\n${name}: tuned ${report.problems} problems in ${digits(report.tuningMs / 1000)} s, ` +
        `${Object.keys(report.changed).length} choices changed; a step takes ${digits(report.tunedMs)} ms tuned, ` +
        `${digits(report.standardMs)} ms by default (${digits(report.tunedMs / report.standardMs)}x)`,
    );
    for (const [id, variant] of Object.entries(report.changed)) console.log(`  ${id}: ${variant}`);
    reports.push(report);
  }
  return reports;
}

async function compare(
  device: Device,
  name: string,
  config: TrainConfig,
  rounds: Pick<Rounds, 'take' | 'least'>,
): Promise<TunedReport> {
  const source = noise(2 * config.batch, 64);
  const [method, options] = [methodOf(config), trainerOptionsOf(config)];
  const standard = await Trainer.open(device, method, source, options);
  let problems = 0;
  const started = performance.now();
  const tuned = await Trainer.open(device, method, source, {
    ...options,
    tune: (plan) => tune(plan, { onTuned: () => problems++ }),
  });
  const tuningMs = performance.now() - started;
  const times = new Map<Trainer, number[]>([
    [standard, []],
    [tuned, []],
  ]);
  for (const trainer of times.keys()) await trainer.train();
  for (let round = 0; round < rounds.least; round++)
    for (const [trainer, taken] of times) {
      const before = performance.now();
      await trainer.train();
      taken.push(performance.now() - before);
    }
  const [standardMs, tunedMs] = [...times.values()].map((taken) => typical(taken, rounds));
  const changed = Object.fromEntries(
    Object.entries(tuned.choices).filter(([id, variant]) => standard.choices[id] !== variant),
  );
  for (const trainer of times.keys()) trainer.dispose();
  return { name, problems, tuningMs, changed, standardMs, tunedMs };
}
