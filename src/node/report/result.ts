// The section of a report that shows the result of a command.
import { basename, dirname, join } from 'node:path';
import { type Result, trialsText } from '../eval/scores.js';
import { percent } from '../system/figures.js';
import { type Chart, renderChart } from './chart.js';
import { escapeHtml, scrollTable } from './page.js';
import { figures, noteLines, scoreTable } from './scores.js';

const titles: Record<Result['what'], string> = {
  eval: 'Evaluation of',
  linear: 'Linear evaluation of',
  finetune: 'Fine-tuning of',
};

/** The section of a report that shows a result. */
export function resultSection(result: Result): string {
  const { what, part, data, weights, on, notes, adapter, settings } = result;
  const given = Object.entries(settings).map(([key, value]) => `${key} ${text(value)}`);
  const by = `${nameOf(weights)}; ${given.join(', ')}; ${adapter}.`;
  return `<section><h2>${titles[what]} the ${part} encoder on ${escapeHtml(data)}</h2>
<p>On ${escapeHtml(on)}.</p>${scoreTable(result)}${noteLines([...notes, by])}${figures(result)}${fitting(result)}</section>`;
}

function text(value: unknown): string {
  return Array.isArray(value) ? value.map(text).join('/') : String(value);
}

/** How classifiers were trained: their loss by epoch, their learning rates, and the number of items of each class. */
function fitting({ fitted = [], classes }: Result): string {
  if (fitted.length === 0) return '';
  const chart: Chart = {
    title: 'Cross-entropy',
    caption: 'Mean over the batches of an epoch, at the learning rate that was selected.',
    xLabel: 'epoch',
    series: fitted.map(({ name, log }) => ({
      name: escapeHtml(name),
      x: log.map(({ epoch }) => epoch),
      y: log.map(({ loss }) => loss),
    })),
    include: [0],
  };
  const tried = fitted.some(({ trials }) => trials.length > 0);
  const heads = [
    'learning rate',
    ...(tried ? ['rates tried: accuracy on held-out training images'] : []),
    'mean accuracy per class',
  ];
  const rows = fitted.map(({ name, lr, trials, meanPerClass }) => [
    escapeHtml(name),
    String(lr),
    ...(tried ? [trialsText(trials).replaceAll(' ', '\u00a0').replaceAll(',\u00a0', ', ')] : []),
    percent(meanPerClass),
  ]);
  const rates = plainTable('Training of classifiers', ['encoder', ...heads], rows);
  const counts = classes
    ? plainTable(
        'Items of each class',
        ['class', 'training', 'test'],
        classes.names.map((name, c) => [escapeHtml(name), String(classes.train[c]), String(classes.test[c])]),
      )
    : '';
  return `<div class="figures">${renderChart(chart)}<div class="card"><h3>Training</h3>${rates}
<details><summary>Items of each class</summary>${counts}</details></div></div>`;
}

function plainTable(label: string, heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const body = rows.map(
    ([name, ...cells]) =>
      `<tr><th scope="row">${name}</th>${cells.map((cell) => `<td class="number">${cell}</td>`).join('')}</tr>`,
  );
  return scrollTable(label, 'plain', heads, body);
}

/** The file's name with that of its folder. */
function nameOf(weights: string): string {
  return join(basename(dirname(weights)), basename(weights));
}
