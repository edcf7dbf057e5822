import { join } from 'node:path';
import { openIdx } from '../../data/idx.js';
import { DataError } from '../../errors.js';
import { isFolder, listFolder } from '../system/files.js';
import type { Dataset } from './dataset.js';
import { RecordedFiles } from './record.js';

/**
 * A folder of IDX files, plain or gzipped, under any of the names that sets of this kind come with: those of MNIST with - or . before idx
 * (train-images-idx3-ubyte, train-images.idx3-ubyte), a set's own name before them (emnist-letters-train-images-idx3-ubyte), t10k or
 * test, labels of any whole numbers (qmnist-test-labels-idx2-int). Labels and the part to test with may be missing.
 */
export async function openIdxFolder(folder: string, name: string, classes?: readonly string[]): Promise<Dataset> {
  const names: string[] = [];
  for (const file of await listFolder(folder)) if (!(await isFolder(join(folder, file)))) names.push(file);
  const files = new RecordedFiles();
  const find = (part: RegExp, what: 'images' | 'labels'): string | undefined => {
    const isWanted = (file: string) => part.test(file) && file.toLowerCase().includes(what.slice(0, -1)) && isIdx(file);
    const found = names.filter((file) => !file.startsWith('.') && isWanted(file));
    const stems = new Set(found.map((file) => file.replace(/\.gz$/i, '')));
    if (stems.size > 1)
      throw new DataError(
        `${name}: expected one file of ${what} for each part in ${folder}, found ${found.join(', ')}; keep one set`,
      );
    return found[0]; // plain before .gz
  };
  const open = async (label: string, part: RegExp, use: 'train' | 'test') => {
    const images = find(part, 'images');
    if (images === undefined) return undefined;
    const labels = find(part, 'labels');
    return openIdx({
      name: `${name} ${label}`,
      images: await files.read(join(folder, images), use),
      ...(labels !== undefined && { labels: await files.read(join(folder, labels), use) }),
      ...(classes && { classes }),
    });
  };
  const train = await open('train', /train/i, 'train');
  if (!train)
    throw new DataError(
      `${name}: expected train-images-idx3-ubyte, or another usual name of it, plain or .gz, in ${folder}, found ` +
        `${names.slice(0, 5).join(', ') || 'nothing'}`,
    );
  const test = await open('t10k', /t10k|test/i, 'test');
  return { name, train, ...(test && { test }), notes: [], record: files.record(name) };
}

/** Whether a name may be an IDX file's: images of them (train-images.png) are not. */
const isIdx = (file: string) => /idx\d|ubyte|^[^.]*(\.gz)?$/i.test(file);
