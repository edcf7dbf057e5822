// The first section of a run that learned to find edited copies: some copies, and what each contender calls nearest.
import type { RgbaImage } from '../../data/source.js';
import type { FoundExamples } from '../eval/scores.js';
import { escapeHtml } from './page.js';
import { encodePng } from './png.js';

/** Copies in two columns, a row each: the copy, then of every contender the nearest images, the original framed. */
export function foundSection({ of, by, copies }: FoundExamples): string {
  const half = Math.ceil(copies.length / 2);
  const columns = [copies.slice(0, half), copies.slice(half)].filter((part) => part.length > 0);
  return `<section><h2>Find the original</h2><p>Images that training never saw, ${escapeHtml(of)}: each beside the nearest of the
gallery by each contender, the original framed. The copies are evenly spaced through the gallery, not picked.</p>
<div class="scroll" role="region" aria-label="Copies and what is nearest" tabindex="0"><div class="columns">${columns.map((part) => grid(by, part)).join('')}</div></div></section>`;
}

function grid(by: readonly string[], copies: FoundExamples['copies']): string {
  const heads = ['copy', ...by].map((name) => `<span>${escapeHtml(name)}</span>`);
  const rows = copies.map(({ copy, nearest }) => {
    const groups = nearest.map((found, c) => {
      const images = found.map(({ image, isOriginal }, rank) => {
        const name = `${isOriginal ? 'the original, ' : ''}number ${rank + 1} by ${by[c]}`;
        return picture(image, name, isOriginal ? 'hit' : '');
      });
      return `<div>${images.join('')}</div>`;
    });
    return `<div>${picture(copy, 'the copy', '')}</div>${groups.join('')}`;
  });
  return `<div class="found">${heads.join('')}${rows.join('')}</div>`;
}

function picture({ width, height, pixels }: RgbaImage, alt: string, kind: string): string {
  const bytes = new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.byteLength);
  const data = encodePng(bytes, width, height).toString('base64');
  return `<img${kind && ` class="${kind}"`} alt="${escapeHtml(alt)}" src="data:image/png;base64,${data}">`;
}
