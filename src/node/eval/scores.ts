// The results of an evaluation and their table.
import type { Width } from '../../core/parameters.js';
import type { RgbaImage } from '../../data/source.js';
import type { EpochLog, RateTrial } from '../../eval/classifier_training.js';
import type { ClassCounts } from '../../eval/labels.js';
import { percent } from '../system/figures.js';

/** What an encoder, or raw pixels, score. Shares are from 0 to 1. */
export interface Score {
  name: string;
  /** A linear layer on the frozen encoder. */
  linear?: number;
  linearTop5?: number;
  /** The whole encoder, fine-tuned. */
  finetuned?: number;
  finetunedTop5?: number;
  knn?: number;
  /** Cross-style retrieval. */
  top1?: number;
  top5?: number;
  effectiveRank?: number;
  /** Edited copies whose original is nearest, by edit: `combined` is cropped, rotated and recolored at once. */
  combined?: number;
  combinedMirrored?: number;
  crop?: number;
  rotate?: number;
  recolor?: number;
  mirror?: number;
}

/** Which class was taken for which: row i, column j counts the images of class i that were taken for class j. */
export interface Confusion {
  /** Whose judgement, in words. */
  of: string;
  classes: readonly string[];
  /** (K, K) */
  counts: readonly (readonly number[])[];
}

/** Features laid out in a plane. */
export interface FeatureMap {
  /** Whose features, in words. */
  of: string;
  classes: readonly string[];
  /** Of each image its place and its class. */
  x: readonly number[];
  y: readonly number[];
  labels: readonly number[];
}

/** What was found for some edited copies: pictures of them and of what each contender calls nearest. */
export interface FoundExamples {
  /** How the copies were edited, in words. */
  of: string;
  /** Names of the contenders that are shown. */
  by: readonly string[];
  copies: readonly {
    readonly copy: RgbaImage;
    /** Of each contender the nearest images, the nearest first. */
    readonly nearest: readonly (readonly { readonly image: RgbaImage; readonly isOriginal: boolean }[])[];
  }[];
}

/** A final evaluation. */
export interface Evaluation {
  /** On what, such as "381 held-out emoji". */
  on: string;
  scores: readonly Score[];
  /** Sentences that a reader needs to judge the figures. */
  notes: readonly string[];
  /** Of the first contender. */
  confusion?: Confusion;
  map?: FeatureMap;
  found?: FoundExamples;
}

/** How one contender was trained as a classifier. */
export interface Fitted {
  readonly name: string;
  readonly lr: number;
  readonly trials: readonly RateTrial[];
  readonly batch: number;
  readonly meanPerClass: number;
  readonly log: readonly EpochLog[];
}

/** What `eval`, `linear` or `finetune` found: a JSON file of it, and a section of a report. */
export interface Result extends Evaluation {
  readonly what: 'eval' | 'linear' | 'finetune';
  readonly weights: string;
  readonly part: Width;
  readonly data: string;
  readonly adapter: string;
  readonly settings: Readonly<Record<string, unknown>>;
  /** Of those that a classifier was trained on. */
  readonly classes?: ClassCounts;
  readonly fitted?: readonly Fitted[];
}

/** A column of a table of scores. */
export interface Measure {
  readonly key: Exclude<keyof Score, 'name'>;
  /** Its heading on a page, and the shorter one of plain text. */
  readonly name: string;
  readonly short: string;
  /** Not a share, which is the default. */
  readonly plain?: true;
}

const measures: readonly Measure[] = [
  { key: 'linear', name: 'linear, top-1', short: 'linear' },
  { key: 'linearTop5', name: 'linear, top-5', short: 'its top-5' },
  { key: 'finetuned', name: 'fine-tuned, top-1', short: 'fine-tuned' },
  { key: 'finetunedTop5', name: 'fine-tuned, top-5', short: 'its top-5' },
  { key: 'knn', name: 'kNN accuracy', short: 'kNN' },
  { key: 'top1', name: 'retrieval top-1', short: 'retrieval top-1' },
  { key: 'top5', name: 'retrieval top-5', short: 'top-5' },
  { key: 'combined', name: 'crop, rotate, recolor', short: 'all three' },
  { key: 'combinedMirrored', name: 'and mirror', short: '+ mirror' },
  { key: 'crop', name: 'crop', short: 'crop' },
  { key: 'rotate', name: 'rotate', short: 'rotate' },
  { key: 'recolor', name: 'recolor', short: 'recolor' },
  { key: 'mirror', name: 'mirror', short: 'mirror' },
  { key: 'effectiveRank', name: 'effective rank', short: 'eff. rank', plain: true },
];

/** The measures that any of the contenders has. */
export function measured(scores: readonly Score[]): Measure[] {
  return measures.filter(({ key }) => scores.some((score) => score[key] !== undefined));
}

/** Learning rates that were tried, each with its accuracy: `0.1 48.8 %, 0.3 50.7 %`. */
export function trialsText(trials: readonly RateTrial[]): string {
  return trials.map(({ lr, accuracy }) => `${lr} ${accuracy === null ? 'diverged' : percent(accuracy)}`).join(', ');
}

/** A result as plain text: its table, and the learning rates that were chosen. */
export function resultText(result: Result): string {
  const chosen = (result.fitted ?? []).map(({ name, lr, trials }) => {
    const by = trials.length > 0 ? `, chosen on a part of the training images (${trialsText(trials)})` : '';
    return `Learning rate of ${name}: ${lr}${by}.`;
  });
  return evaluationText({ ...result, notes: [...chosen, ...result.notes] });
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
