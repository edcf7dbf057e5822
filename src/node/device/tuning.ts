import type { Plan } from '../../runtime/plan.js';
import { type Tuned, type TuneOptions, tune } from '../../runtime/tuner.js';
import { fileTuningCache, tuningPath } from './tuning_file.js';

/** Tuning that says what it tried, a line a problem, and remembers what won in the user's cache. */
export function tuning(note: (line: string) => void): (plan: Plan) => Promise<Record<string, string>> {
  const file = tuningPath();
  const started = performance.now();
  let tried = 0;
  let changed = 0;
  const options: TuneOptions = {
    cache: fileTuningCache(file, note),
    onTuned: (tuned, done, total) => {
      const { trials, chosen, standard } = tuned;
      if (trials.length > 0) {
        tried++;
        note(`  ${done}/${total} ${trialText(tuned)}`);
      }
      if (chosen !== standard) changed++;
      if (done < total) return;
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      note(
        `Tuned ${total} kernels, ${tried} of them now, in ${seconds} s; ${changed} are not the default. Kept in ${file}`,
      );
    },
  };
  return (plan) => tune(plan, options);
}

/** `pointwise.forward N=128 …: subgroup8 0.41 ms, register 0.62 ms` */
function trialText({ problem, trials, chosen, standard }: Tuned): string {
  const results = trials.map(
    ({ variant, ms, refused }) =>
      `${variant}${variant === chosen ? '*' : ''} ${refused ?? `${(ms as number).toPrecision(3)} ms`}`,
  );
  return `${problem}: ${results.join(', ')}${chosen === standard ? '' : ' (not the default)'}`;
}
