// A map of the features as SVG: a dot per image, colored by class.
import type { FeatureMap } from '../eval/scores.js';
import { escapeHtml } from './page.js';

const [width, height, margin] = [600, 460, 14];
/** More classes than this have no names in the image, only in the legend. */
const mostNames = 24;
const mostInLegend = 100;

/** A map of features: a dot an image, colored by its class; the name of a class stands where its dots are densest. */
export function mapFigure({ of, classes, x, y, labels }: FeatureMap): string {
  const present = classes.map((name, label) => ({ name, label, count: labels.filter((l) => l === label).length }));
  const shown = present.filter(({ count }) => count > 0);
  const place = (values: readonly number[], from: number, to: number) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return values.map((value) => (high > low ? from + ((value - low) / (high - low)) * (to - from) : (from + to) / 2));
  };
  const px = place(x, margin, width - margin);
  const py = place(y, height - margin, margin);
  // A dot is a line of no length with ends: round in one class, square in the next, so that classes differ by more than color.
  const dots = shown.map(({ label }, i) => {
    const points = labels.flatMap((l, n) => (l === label ? [`M${px[n].toFixed(1)} ${py[n].toFixed(1)}h0`] : []));
    const cap = i % 2 === 0 ? 'round' : 'square';
    return `<path d="${points.join('')}" stroke="${color(i, shown.length)}" stroke-linecap="${cap}" stroke-width="${cap === 'round' ? 6 : 5}"/>`;
  });
  const names = shown.length > mostNames ? [] : nameAll(shown, px, py, labels);
  const legend = shown.slice(0, mostInLegend).map(({ name, count }, i) => {
    const round = i % 2 === 0 ? ' class="round"' : '';
    return `<span><i${round} style="background:${color(i, shown.length)}"></i>${escapeHtml(name)} <small>${count}</small></span>`;
  });
  const more = shown.length > mostInLegend ? `<span>and ${shown.length - mostInLegend} more</span>` : '';
  return `<figure class="card map"><figcaption><h3>PCA of the features</h3><p>${escapeHtml(of)}, ${labels.length} held-out images. The two directions of the most variance.</p></figcaption>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="PCA of the features, by class"><g class="dots">${dots.join('')}</g><g class="names">${names.join('')}</g></svg>
<div class="legend">${legend.join('')}${more}</div></figure>`;
}

/** Hues all round; neighbors differ in lightness too, which follows the page's, light or dark. */
function color(i: number, of: number): string {
  return `oklch(var(--dot${i % 2}) .15 ${Math.round((360 * i) / of + 20) % 360})`;
}

interface Box {
  left: number;
  right: number;
  y: number;
}

/** Every class's name where its dots are densest and no other name stands; large classes choose first. */
function nameAll(
  classes: readonly { name: string; label: number; count: number }[],
  px: readonly number[],
  py: readonly number[],
  labels: readonly number[],
): string[] {
  const taken: Box[] = [];
  const isFree = ({ left, right, y }: Box) =>
    taken.every((box) => right < box.left || left > box.right || Math.abs(y - box.y) > 15);
  return [...classes]
    .sort((a, b) => b.count - a.count)
    .map(({ name, label }) => {
      const own = labels.flatMap((l, n) => (l === label ? [n] : []));
      const boxes = byDensity(own.map((n) => [px[n], py[n]])).map(([x, y]): Box => {
        const room = name.length * 8.2; // of the font's 13 pixels, about
        const left = Math.min(Math.max(x - room / 2, 2), width - room - 2);
        return { left, right: left + room, y };
      });
      const box = boxes.find(isFree) ?? boxes[0];
      taken.push(box);
      return `<text x="${((box.left + box.right) / 2).toFixed(1)}" y="${(box.y + 4).toFixed(1)}">${escapeHtml(name)}</text>`;
    });
}

/** Points by how near the nearest eighth of the others is; of very many, some. */
function byDensity(points: readonly (readonly [number, number])[]): (readonly [number, number])[] {
  const every = Math.ceil(points.length / 60);
  const ranked = points
    .filter((_, i) => i % every === 0)
    .map((point) => {
      const away = points.map(([x, y]) => (x - point[0]) ** 2 + (y - point[1]) ** 2).sort((a, b) => a - b);
      return { point, near: away[Math.floor(away.length / 8)] };
    });
  return ranked.sort((a, b) => a.near - b.near).map(({ point }) => point);
}
