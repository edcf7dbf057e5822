/** Median time between steps, in seconds, by lines of metrics.jsonl: breaks between a stop and its continuation do not count. */
export function stepSeconds(metrics: readonly Readonly<Record<string, unknown>>[]): number | undefined {
  const times = metrics.map((m) => Date.parse(String(m.time)) / 1000);
  const gaps = times
    .slice(1)
    .map((t, i) => t - times[i])
    .filter((gap) => gap > 0)
    .sort((a, b) => a - b);
  return gaps[gaps.length >> 1];
}
