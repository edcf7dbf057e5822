// What is left out of a folder of images, and its summary in one line. Knows no file system.
import { endingOf } from './formats.js';

/** A file that cannot be used, and why. */
export interface Skipped {
  readonly file: string;
  readonly reason: string;
}

/** Something that is left out, and why. */
export interface LeftOut {
  /** Where it lies below the folder that was scanned, with '/' between the names. */
  readonly path: string;
  readonly reason: string;
  readonly kind: 'system' | 'hidden' | 'unreadable' | 'link' | 'format' | 'other' | 'empty';
  /** Images in it where it is a folder, 1 where it is an image's file. */
  readonly images: number;
}

/** Reasons that the line distinguishes and that are not the system's. */
export const reasons = {
  system: 'a folder of a system or a server',
  hiddenFolder: 'a hidden folder',
  hiddenFile: 'a hidden image',
  nowhere: 'leads nowhere',
  circle: 'leads in a circle',
  special: 'is neither a file nor a link to one',
  other: 'is no image',
  empty: 'has no images',
} as const;

const shownGroups = 6;
const shownNames = 3;

/** One line of counts, the most frequent first: '40 images in @eaDir, 12 .heic (HEIC: …), 3 other files'; '' where there are none. */
export function leftOutText(leftOut: readonly LeftOut[]): string {
  const groups = new Map<string, LeftOut[]>();
  for (const entry of leftOut) {
    const key = JSON.stringify(alike(entry));
    const group = groups.get(key);
    if (group) group.push(entry);
    else groups.set(key, [entry]);
  }
  const summaries = [...groups.values()]
    .map((entries) => ({ entries, weight: weightOf(entries), text: shown(textOf(entries)) }))
    .sort((a, b) => b.weight - a.weight || (a.text < b.text ? -1 : 1));
  const rest = summaries.slice(shownGroups).reduce((sum, { entries }) => sum + entries.length, 0);
  const texts = summaries.slice(0, shownGroups).map(({ text }) => text);
  return texts.join(', ') + (rest > 0 ? ` and ${count(rest)} more` : '');
}

/** The key of entries that are summarized together. */
function alike({ kind, reason, path }: LeftOut): string[] {
  if (kind === 'system' || reason === reasons.hiddenFolder) return [kind, nameOf(path)];
  if (kind === 'format') return [kind, reason, endingOf(nameOf(path))];
  return [kind, reason];
}

function textOf(entries: readonly LeftOut[]): string {
  const [{ kind, reason, path }] = entries;
  const n = entries.length;
  const images = imagesIn(entries);
  if (kind === 'system' || reason === reasons.hiddenFolder)
    return images > 0 ? `${counted(images, 'image')} in ${nameOf(path)}` : `${nameOf(path)} (no images)`;
  if (kind === 'hidden') return counted(n, 'hidden image');
  if (kind === 'unreadable')
    return n === 1 ? `${path} (cannot be read: ${reason})` : `${count(n)} that cannot be read (${reason})`;
  if (kind === 'link')
    return n === 1 ? `${path} (a link that ${reason})` : `${count(n)} links that ${reason.replace('leads', 'lead')}`;
  if (kind === 'format') {
    const ending = endingOf(nameOf(path));
    return `${count(n)} ${ending ? `.${ending}` : 'without ending'} (${reason})`;
  }
  if (reason === reasons.special)
    return n === 1 ? `${path} (${reason.slice(3)})` : `${count(n)} that are neither files nor links to some`;
  if (kind === 'other') return counted(n, 'other file');
  const names = entries.slice(0, shownNames).map((entry) => entry.path);
  return n > shownNames
    ? `${count(n)} folders without images (${names.join(', ')}, …)`
    : `${names.join(', ')} (no images)`;
}

const weightOf = (entries: readonly LeftOut[]) => Math.max(entries.length, imagesIn(entries));
const imagesIn = (entries: readonly LeftOut[]) => entries.reduce((sum, { images }) => sum + images, 0);
const nameOf = (path: string) => path.slice(path.lastIndexOf('/') + 1);
/** A number with its thousands parted. */
export const count = (n: number) => n.toLocaleString('en');
const counted = (n: number, what: string) => `${count(n)} ${what}${n === 1 ? '' : 's'}`;

/** Names may hold line breaks and a terminal's commands. */
const shown = (text: string) =>
  text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, (control) => `\\x${control.codePointAt(0)!.toString(16).padStart(2, '0')}`);
