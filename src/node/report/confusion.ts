// The confusion matrix of a classifier, as a section of a report.
import type { Confusion } from '../eval/scores.js';
import { percent } from '../system/figures.js';
import { escapeHtml, scrollTable } from './page.js';
import { encodePng } from './png.js';

/** More classes than this are drawn as an image, without their counts. */
const mostInTable = 20;
const mostPairs = 8;

/** The confusion matrix: a table with its counts where classes are few, else an image; and the pairs most often confused. */
export function confusionFigure(confusion: Confusion): string {
  const { of, classes } = confusion;
  const matrix = classes.length > mostInTable ? image(confusion) : table(confusion);
  return `<figure class="card confusion"><figcaption><h3>Confusion</h3><p>${escapeHtml(of)}: rows are true classes,
columns are predicted classes; darker is a larger share of the row.</p></figcaption>
${matrix}${pairs(confusion)}</figure>`;
}

function table({ classes, counts }: Confusion): string {
  const heads = [...classes.map(escapeHtml), 'recall'].map((name) => `<span>${name}</span>`);
  const rows = counts.map((row, i) => {
    const total = sum(row);
    const cells = row.map((count, j) => {
      const share = count / (total || 1);
      const title = `${classes[i]} predicted as ${classes[j]}: ${count} of ${total}`;
      const kind = i === j ? 'right' : 'wrong';
      return count === 0
        ? `<td title="${escapeHtml(title)}"></td>`
        : `<td class="${kind}" style="--share:${share.toFixed(3)}" title="${escapeHtml(title)}">${count}</td>`;
    });
    const recall = total === 0 ? '–' : percent(row[i] / total);
    return `<tr><th scope="row">${escapeHtml(classes[i])}</th>${cells.join('')}<td class="recall">${recall}</td></tr>`;
  });
  return scrollTable('Confusion matrix', '', ['class', ...heads], rows);
}

/** One pixel for each cell, enlarged: red off the diagonal, green on it, more opaque for a larger share of its row. */
function image({ classes, counts }: Confusion): string {
  const K = classes.length;
  const pixels = new Uint8Array(K * K * 4);
  counts.forEach((row, i) => {
    const total = sum(row);
    row.forEach((count, j) => {
      // The root keeps single confusions visible.
      const alpha = total === 0 ? 0 : Math.round(255 * Math.sqrt(count / total));
      pixels.set(i === j ? [16, 138, 138, alpha] : [214, 84, 44, alpha], (i * K + j) * 4);
    });
  });
  const uri = `data:image/png;base64,${encodePng(pixels, K, K).toString('base64')}`;
  return `<img src="${uri}" width="${K}" height="${K}" alt="Confusion matrix of ${K} classes">`;
}

/** The pairs of classes most often confused, by their share of the row. */
function pairs({ classes, counts }: Confusion): string {
  const found = counts.flatMap((row, i) => {
    const total = sum(row);
    return row.flatMap((count, j) => (count > 0 && i !== j ? [{ i, j, count, total }] : []));
  });
  found.sort((a, b) => b.count - a.count || a.i - b.i || a.j - b.j);
  if (found.length === 0)
    return counts.some((row) => sum(row) > 0) ? '<p>Every image was predicted correctly.</p>' : '';
  const lines = found.slice(0, mostPairs).map(({ i, j, count, total }) => {
    const [is, predicted] = [escapeHtml(classes[i]), escapeHtml(classes[j])];
    return `<li><b>${count}</b> of ${total} <em>${is}</em> predicted as <em>${predicted}</em></li>`;
  });
  return `<ol class="pairs">${lines.join('')}</ol>`;
}

function sum(row: readonly number[]): number {
  return row.reduce((total, count) => total + count, 0);
}
