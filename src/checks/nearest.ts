/** The hint after an unknown name: the nearest known one, or the whole list. */
export function meant(given: string, names: readonly string[]): string {
  const close = nearest(given, names);
  return close ? `did you mean '${close}'?` : `expected one of ${names.join(', ')}`;
}

/** The name among `names` closest to `given` by edit distance, unless none is close. */
export function nearest(given: string, names: readonly string[]): string | undefined {
  const bare = (name: string) => name.toLowerCase().replace(/[^a-z0-9]/g, '');
  let best: string | undefined;
  let least = Math.max(2, Math.floor(bare(given).length / 3)) + 1;
  for (const name of names) {
    const distance = editDistance(bare(given), bare(name));
    if (distance < least) {
      least = distance;
      best = name;
    }
  }
  return best;
}

/** Levenshtein distance, with a swap of neighbors as one edit. */
function editDistance(a: string, b: string): number {
  const distances = [Array.from({ length: b.length + 1 }, (_, j) => j)]; // of the first i letters of a from the first j of b
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const above = distances[i - 1];
      const isSwap = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row[j] = Math.min(
        above[j] + 1,
        row[j - 1] + 1,
        above[j - 1] + Number(a[i - 1] !== b[j - 1]),
        isSwap ? distances[i - 2][j - 2] + 1 : Number.POSITIVE_INFINITY,
      );
    }
    distances.push(row);
  }
  return distances[a.length][b.length];
}
