// Progress on a terminal or in a log: steps, rates, time left.

import type { StepMetrics } from '../../train/trainer.js';
import { duration, figure } from '../system/figures.js';

/** Where progress is shown: a terminal's stream, or anything with `write`. */
export interface Terminal {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

interface ProgressOptions {
  /** Steps in all, and done before this process began. */
  steps: number;
  done: number;
  /** Images a step. */
  batch: number;
  /** Milliseconds, for tests. */
  now?: () => number;
  env?: Readonly<Record<string, string | undefined>>;
}

/** Shows how a run goes: a bar that redraws itself on a terminal, plain lines now and then elsewhere. */
export interface Progress {
  step(metrics: StepMetrics): void;
  /** A line that stays, above the bar. */
  note(line: string): void;
  /** Stops redrawing and leaves the last state on the screen. */
  close(): void;
}

/** Messages before the first step. */
interface Prelude {
  /** A line that stays. */
  note(line: string): void;
  /** A progress line, shown on terminals only; the next status or line replaces it. */
  status(text: string): void;
}

/** Lines on `screen` before there is progress to show. */
export function openPrelude(screen: Terminal, env: ProgressOptions['env'] = process.env): Prelude {
  const terminal = Boolean(screen.isTTY) && env?.TERM !== 'dumb';
  let shown = false;
  const erase = () => {
    if (shown) screen.write('\r\x1b[K');
    shown = false;
  };
  return {
    note: (line) => {
      erase();
      screen.write(`${line}\n`);
    },
    status: (text) => {
      if (!terminal) return;
      erase();
      screen.write(text.slice(0, (screen.columns || 80) - 1));
      shown = true;
    },
  };
}

const redrawEvery = 100;
const firstLines = 10_000;
const laterLines = 30_000;

/** Progress on `screen`. Colors are used only on a terminal, and not with NO_COLOR or TERM=dumb. */
export function openProgress(screen: Terminal, options: ProgressOptions): Progress {
  const { steps, done, batch, now = Date.now, env = process.env } = options;
  const terminal = Boolean(screen.isTTY) && env.TERM !== 'dumb';
  const paint = painter(terminal && !env.NO_COLOR);
  const rate = new Rate(now(), done);
  let last: StepMetrics | undefined;
  let drawn = Number.NEGATIVE_INFINITY;
  let rows = 0;

  const erase = () => {
    // up over the earlier rows, then clear to the end of the screen
    if (rows > 0) screen.write(`\x1b[${rows}A\r\x1b[J`);
    rows = 0;
  };
  const draw = () => {
    if (!last) return;
    const width = Math.max(20, Math.min(screen.columns || 80, 120) - 1);
    const lines = [barLine(last, steps, batch, rate, width, paint), ...valueLines(last, width, paint)];
    erase();
    screen.write(`${lines.join('\n')}\n`);
    rows = lines.length;
    drawn = now();
  };
  const plain = () => {
    if (!last) return;
    const left = [
      `step ${last.step}/${steps}`,
      `epoch ${last.epoch + 1}`,
      ...values(last).map(([k, v]) => `${k} ${v}`),
    ];
    screen.write(`${[...left, ...throughput(last, steps, batch, rate)].join('  ')}\n`);
    drawn = now();
  };

  return {
    step(metrics) {
      last = metrics;
      rate.update(now(), metrics.step);
      const since = now() - drawn;
      const isEnd = metrics.step >= steps;
      if (terminal) {
        if (isEnd || since >= redrawEvery) draw();
      } else if (isEnd || since >= (rate.elapsed(now()) < 60_000 ? firstLines : laterLines)) {
        plain();
      }
    },
    note(line) {
      erase();
      screen.write(`${line}\n`);
      if (terminal) draw();
    },
    close() {
      if (terminal) draw();
      rows = 0;
    },
  };
}

const styles = { cyan: [36, 39], dim: [2, 22] } as const;

type Paint = (style: keyof typeof styles, text: string) => string;

// util.styleText looks at process.stdout, which need not be the screen.
function painter(colored: boolean): Paint {
  return (style, text) => (colored ? `\x1b[${styles[style][0]}m${text}\x1b[${styles[style][1]}m` : text);
}

/** Steps per second over about the last ten seconds, so that compilation at the start does not count forever. */
class Rate {
  perSecond = 0;
  #start: number;
  #marks: { at: number; step: number }[];

  constructor(at: number, step: number) {
    this.#start = at;
    this.#marks = [{ at, step }];
  }

  update(at: number, step: number): void {
    this.#marks.push({ at, step });
    while (this.#marks.length > 2 && at - this.#marks[1].at > 10_000) this.#marks.shift();
    const [first] = this.#marks;
    // the first step includes compilation, so its time is not representative
    const base = first.at === this.#start ? this.#marks[1] : first;
    if (at > base.at) this.perSecond = ((step - base.step) * 1000) / (at - base.at);
  }

  elapsed(at: number): number {
    return at - this.#start;
  }
}

/** Images per second and the remaining time; empty before the first measured step. */
function throughput({ step }: StepMetrics, steps: number, batch: number, { perSecond }: Rate): string[] {
  if (perSecond === 0) return [];
  return [`${figure(perSecond * batch)} images/s`, `${duration((steps - step) / perSecond)} left`];
}

/** `step 34/118 ━━━━━━━╸━━━━━━  29 %  412 images/s  0:48 left` */
function barLine(m: StepMetrics, steps: number, batch: number, rate: Rate, width: number, paint: Paint): string {
  const share = Math.min(1, m.step / steps);
  const head = `step ${String(m.step).padStart(String(steps).length)}/${steps} `;
  const percent = String(Math.floor(share * 100)).padStart(3);
  const tail = [` ${percent} %`, ...throughput(m, steps, batch, rate)].join('  ');
  const room = Math.max(4, width - head.length - tail.length);
  const full = Math.round(share * room);
  const line = `${head}${paint('cyan', '━'.repeat(full))}${paint('dim', '─'.repeat(room - full))}${tail}`;
  return head.length + tail.length + 4 > width ? `${head}${tail.trimStart()}`.slice(0, width) : line;
}

/** The metrics below the bar, packed into rows of `width` columns. */
function valueLines(metrics: StepMetrics, width: number, paint: Paint): string[] {
  const rows: { length: number; text: string }[] = [];
  for (const [name, value] of values(metrics)) {
    const length = name.length + 1 + value.length;
    const text = `${paint('dim', name)} ${value}`;
    const row = rows.at(-1);
    if (row && row.length + 3 + length <= width) {
      row.text += `   ${text}`;
      row.length += 3 + length;
    } else if (length <= width) {
      rows.push({ length, text });
    }
  }
  return rows.map((row) => row.text);
}

/** The metrics that are shown: the loss, its parts, and how diagonal the correlation of the two live views is. */
function values(metrics: StepMetrics): [string, string][] {
  const pick = (name: string, key: string): [string, string][] =>
    metrics[key] === undefined ? [] : [[name, figure(metrics[key])]];
  return [
    ...pick('loss', 'loss'),
    ...pick('sacl', 'sacl'),
    ...pick('xd', 'xd'),
    ...pick('contrast', 'contrast'),
    ...pick('distillation', 'distillation'),
    ...pick('teacher', 'teacher'),
    ...pick('mean C_ii', 'onDiagonal.live'),
    ...pick('off-diagonal', 'offDiagonal.live'),
    ...pick('copies found', 'score.copies'),
    ...pick('kNN', 'score.knn'),
    ...pick('lr', 'lr'),
  ];
}
