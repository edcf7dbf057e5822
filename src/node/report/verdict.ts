// What the scores of a run say, in one sentence.
import { percent } from '../system/figures.js';

type Metrics = Readonly<Record<string, number | string>>;

/** Names of scores in words, the first to judge by first. */
export const scoreNames = { 'score.copies': 'copies found', 'score.knn': 'kNN accuracy' } as const;

/** Below this effective rank, embeddings lie on a line, whatever the image. */
const leastRank = 1.5;
/** Scores without a gain before one speaks of none: single ones waver. */
const patience = 3;

/**
 * Whether a run is learning, has stopped to, or has collapsed: by the effective ranks of its embeddings and the scores in its
 * metrics; undefined where it has fewer than two scores and no sign of collapse.
 */
export function verdictOf(metrics: readonly Metrics[]): string | undefined {
  const ranked = metrics.findLast((line) => Object.keys(line).some((key) => key.startsWith('effectiveRank.')));
  const ranks = Object.entries(ranked ?? {}).filter(([key]) => key.startsWith('effectiveRank.'));
  const [worst] = ranks
    .map(([key, rank]) => [key.slice('effectiveRank.'.length), Number(rank)] as const)
    .sort(([, a], [, b]) => a - b);
  if (worst && worst[1] < leastRank)
    return `Collapsed: ${worst[0]} has an effective rank of ${worst[1].toFixed(1)}; all images get about the same embedding.`;
  const scored = metrics.filter((line) => typeof line['score.copies'] === 'number');
  if (scored.length < 2) return undefined;
  const scores = scored.map((line) => Number(line['score.copies']));
  const best = scores.indexOf(Math.max(...scores));
  const name = scoreNames['score.copies'];
  if (scores.length - 1 - best >= patience)
    return `No gain since step ${scored[best].step}: ${name} ${percent(scores[best])} then, ${percent(scores[scores.length - 1])} now.`;
  return `Learning: ${name} ${percent(scores[0])} at step ${scored[0].step}, ${percent(scores[best])} at step ${scored[best].step}.`;
}
