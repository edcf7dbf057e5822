// The cross-correlation matrix of the embeddings, as an image and by its diagonal.
import { figure } from '../system/figures.js';
import { type Chart, renderChart } from './chart.js';
import { encodePng } from './png.js';

/** Largest side of the image: bigger matrices show, of each block of entries, the one of largest magnitude. */
const imageSide = 512;

/** C, the cross-correlation of two batches of embeddings: row by row, `size` columns. */
export interface Correlation {
  size: number;
  data: Float32Array;
}

/** C as an image, with what can be read off its diagonal. */
export function correlationSection({ size, data }: Correlation, [rows, columns]: readonly [string, string]): string {
  const block = Math.ceil(size / imageSide);
  const side = Math.ceil(size / block);
  const pixels = new Uint8Array(side * side * 4);
  let on = 0;
  let off = 0;
  for (let i = 0; i < size; i++) {
    on += data[i * size + i] / size;
    for (let j = 0; j < size; j++) if (j !== i) off += Math.abs(data[i * size + j]) / (size * (size - 1) || 1);
  }
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) pixels.set(colorOf(strongest(data, size, block, y, x)), (y * side + x) * 4);
  }
  const uri = `data:image/png;base64,${encodePng(pixels, side, side).toString('base64')}`;
  const scaled = block > 1 ? ` Each pixel is the strongest of ${block} x ${block} entries.` : '';
  return `<section><h2>Correlation matrix</h2><div class="correlation">
<img src="${uri}" width="${side}" height="${side}" alt="Cross-correlation of the ${size} dimensions of the two views">
<div><p>C of z<sup>A</sup> (${rows}) and z<sup>B</sup> (${columns}) over the last batch, ${size} x ${size}: row i, column j is the
correlation of dimension i of one view with dimension j of the other.${scaled}</p>
<div class="scale"><span>−1</span><i></i><span>1</span></div>
<p>Embeddings that agree draw a clean diagonal; where no dimension repeats another, on an empty ground.</p>
<dl><dt>mean on the diagonal</dt><dd>${figure(on)}</dd><dt>mean magnitude off it</dt><dd>${figure(off)}</dd></dl>
${renderChart(diagonalChart(size, data))}
</div></div></section>`;
}

/** C_ii from the largest down: which share of the dimensions agrees between the views. */
function diagonalChart(size: number, data: Float32Array): Chart {
  const diagonal = Array.from({ length: size }, (_, i) => data[i * size + i]).sort((a, b) => b - a);
  return {
    title: 'The diagonal, sorted',
    caption: 'C<sub>ii</sub> of every dimension, the most invariant first.',
    xLabel: 'rank of the dimension',
    series: [{ name: 'C<sub>ii</sub>, least', x: diagonal.map((_, i) => i + 1), y: diagonal }],
    include: [0, 1],
  };
}

function strongest(data: Float32Array, size: number, block: number, y: number, x: number): number {
  let best = 0;
  for (let i = y * block; i < Math.min(size, (y + 1) * block); i++) {
    for (let j = x * block; j < Math.min(size, (x + 1) * block); j++) {
      if (Math.abs(data[i * size + j]) > Math.abs(best)) best = data[i * size + j];
    }
  }
  return best;
}

/** Red above 0 and blue below, more opaque the stronger: the page's ground shows through, light or dark. */
function colorOf(c: number): [number, number, number, number] {
  const alpha = Math.round(255 * Math.min(1, Math.abs(c)));
  return c > 0 ? [214, 64, 44, alpha] : [42, 111, 214, alpha];
}
