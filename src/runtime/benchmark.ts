const rounds = 5;
const span = 20; // minimum milliseconds per round: far above the resolution of any clock, including quantized ones
const margin = 0.95; // of the default runner's time; a winner must be below it twice

/** One of several ways to compute the same thing, to be timed. */
export interface Runner {
  readonly variant: string;
  /** Milliseconds per run, averaged over `runs` runs in a row. */
  readonly time: (runs: number) => Promise<number>;
}

/**
 * Times runners in turns and drops those three times as slow as the fastest. A runner that seems faster than the default
 * is then timed against it again, only the two, to rule out chance.
 *
 * @returns median milliseconds per run, by variant; of two measurements, the one that favors the default
 */
export async function benchmark(runners: readonly Runner[], standard: string): Promise<Map<string, number>> {
  const probes = new Map<string, number>();
  for (const { variant, time } of runners) {
    await time(1);
    probes.set(variant, await time(1));
  }
  const fastest = Math.min(...probes.values());
  const still = runners.filter(({ variant }) => (probes.get(variant) as number) <= 3 * fastest);
  const times = new Map([...probes, ...(await inTurns(still, probes))]);
  const settled = new Set([standard]);
  for (let leader = fastestOf(times, standard); !settled.has(leader); leader = fastestOf(times, standard)) {
    settled.add(leader);
    const pair = runners.filter(({ variant }) => variant === standard || variant === leader);
    if (pair.length < 2) break;
    for (const [variant, ms] of await inTurns(pair, times)) {
      const favoring = variant === standard ? Math.min : Math.max;
      times.set(variant, favoring(ms, times.get(variant) as number));
    }
  }
  return times;
}

/** The fastest, or the default if it is nearly as fast or none was timed. */
export function fastestOf(times: ReadonlyMap<string, number>, standard: string): string {
  const [[best, ms] = [standard, 0]] = [...times].sort(([, a], [, b]) => a - b);
  return ms > margin * (times.get(standard) ?? Number.POSITIVE_INFINITY) ? standard : best;
}

/** Medians of several rounds, given the approximate time of a run. */
async function inTurns(runners: readonly Runner[], about: ReadonlyMap<string, number>): Promise<Map<string, number>> {
  const seen = new Map(runners.map(({ variant }) => [variant, [] as number[]]));
  for (let round = 0; round < rounds; round++)
    for (const { variant, time } of runners) seen.get(variant)?.push(await time(repeats(about.get(variant) as number)));
  return new Map([...seen].map(([variant, ms]) => [variant, median(ms)]));
}

const repeats = (ms: number) => Math.min(256, Math.max(1, Math.ceil(span / Math.max(ms, 0.01))));

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}
