import { type Evaluation, measured } from '../eval/scores.js';
import { figure, percent } from '../system/figures.js';
import { confusionFigure } from './confusion.js';
import { mapFigure } from './feature_map.js';
import { escapeHtml, scrollTable } from './page.js';

/** The scores of an evaluation as a table with bars. */
export function scoreTable({ scores }: Pick<Evaluation, 'scores'>): string {
  const used = measured(scores);
  const rows = scores.map((score, i) => {
    const cells = used.map(({ key, plain }) => {
      const value = score[key];
      if (plain) return `<td class="number">${value === undefined ? '–' : figure(value)}</td>`;
      if (value === undefined) return '<td>–</td>';
      return `<td class="bar"><span style="width:${(value * 100).toFixed(1)}%"></span><b>${percent(value)}</b></td>`;
    });
    return `<tr class="${i === 0 ? 'first' : ''}"><th scope="row">${escapeHtml(score.name)}</th>${cells.join('')}</tr>`;
  });
  return scrollTable('Scores', 'scores', ['encoder', ...used.map(({ name }) => name)], rows);
}

/** The figures of an evaluation: its confusion matrix and its map of features. */
export function figures({ confusion, map }: Evaluation): string {
  if (!confusion && !map) return '';
  return `<div class="figures">${map ? mapFigure(map) : ''}${confusion ? confusionFigure(confusion) : ''}</div>`;
}

/** The notes below a table. */
export function noteLines(notes: readonly string[]): string {
  return notes.map((note) => `<p class="note">${escapeHtml(note)}</p>`).join('');
}
