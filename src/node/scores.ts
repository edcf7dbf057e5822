import { percent } from './report/page.js';

/** What an encoder, or raw pixels, score. Shares are from 0 to 1. */
export interface Score {
  name: string;
  knn?: number;
  /** Cross-style retrieval. */
  top1?: number;
  top5?: number;
  effectiveRank?: number;
}

/** A final evaluation. */
export interface Evaluation {
  /** On what, such as "381 held-out emoji". */
  on: string;
  scores: readonly Score[];
  /** Sentences that a reader needs to judge the figures. */
  notes: readonly string[];
}

/** A column of a table of scores. */
export interface Measure {
  readonly key: Exclude<keyof Score, 'name'>;
  /** Its heading on a page, and the shorter one of plain text. */
  readonly name: string;
  readonly short: string;
  /** Not a share, which it is where nothing is said. */
  readonly plain?: true;
}

const measures: readonly Measure[] = [
  { key: 'knn', name: 'kNN accuracy', short: 'kNN' },
  { key: 'top1', name: 'retrieval top-1', short: 'retrieval top-1' },
  { key: 'top5', name: 'retrieval top-5', short: 'top-5' },
  { key: 'effectiveRank', name: 'effective rank', short: 'eff. rank', plain: true },
];

/** The measures that any of the contenders has. */
export function measured(scores: readonly Score[]): Measure[] {
  return measures.filter(({ key }) => scores.some((score) => score[key] !== undefined));
}

/** The evaluation as a table of plain text. */
export function evaluationText({ on, scores, notes }: Evaluation): string {
  const columns = measured(scores).map(({ key, short, plain }) => {
    const cells = scores.map(({ [key]: value }) =>
      value === undefined ? '–' : plain ? value.toFixed(1) : percent(value),
    );
    const width = Math.max(9, short.length);
    return [short, ...cells].map((text) => text.padStart(width));
  });
  const first = Math.max(12, ...scores.map(({ name }) => name.length));
  const rows = ['', ...scores.map(({ name }) => name)].map((name, i) =>
    [name.padEnd(first), ...columns.map((column) => column[i])].join('  '),
  );
  return [`On ${on}:`, '', ...rows, '', ...notes].join('\n').trimEnd();
}
