import { dirname, join } from 'node:path';
import { shortName } from '../config.js';
import { readEncoder, writeEncoder } from '../encoder_file.js';
import type { Tensors } from '../parameters.js';
import { checkPlace, isMissing, readBytes, writeFileAtomic } from './files.js';
import { checkReport, extendReport } from './report/extend.js';
import { resultSection } from './report/result.js';
import { type Result, resultText } from './scores.js';

/** Where a result goes. */
export interface Place {
  readonly folder: string;
  /** Of its files, without their endings, and of its section of the report. */
  readonly name: string;
}

const report = 'report.html';

/**
 * Where the result of a command goes: `out`, or the folder of the weights.
 *
 * @throws DataError where weights are unusable, or files could not be written there, for want of a folder or because the
 * report there is none of slimgrad's: before the work, not after it
 */
export async function placeOf(what: Result['what'], weights: string, data: string, out: string): Promise<Place> {
  const { part } = readEncoder(await readBytes(weights), weights);
  const folder = out || dirname(weights);
  const name = [what, part, shortName(data)].join('-').toLowerCase();
  const place = { folder, name: name.replace(/[^a-z0-9]+/g, '-') };
  for (const file of [`${place.name}.json`, report]) await checkPlace(join(folder, file));
  const page = await readReport(folder);
  if (page !== undefined) checkReport(page, join(folder, report));
  return place;
}

/** Prints a result; writes its JSON file and its section of the report, which is made where there is none. */
export async function publish(result: Result, place: Place | undefined): Promise<void> {
  console.log(resultText(result));
  if (!place) return;
  const { folder, name } = place;
  await writeFileAtomic(
    join(folder, `${name}.json`),
    `${JSON.stringify({ format: 'slimgrad result 1', ...result })}\n`,
  );
  const page = extendReport(await readReport(folder), join(folder, report), name, resultSection(result));
  await writeFileAtomic(join(folder, report), page);
  console.log(`\n${name}.json and ${report} are in ${folder}`);
}

/**
 * Writes a fine-tuned encoder with its classifier (`classifier.weight`, `classifier.bias`; the classes' names are in the
 * metadata) beside its result. Whatever reads an encoder reads it.
 */
export async function writeFinetuned(weights: string, result: Result, state: Tensors, place: Place): Promise<void> {
  const { metadata } = readEncoder(await readBytes(weights), weights);
  const file = join(place.folder, `${place.name}.safetensors`);
  const classes = JSON.stringify(result.classes?.names);
  await writeFileAtomic(file, writeEncoder(state, { ...metadata, finetuned: result.data, classes }));
  console.log(`Fine-tuned encoder and classifier: ${file}`);
}

async function readReport(folder: string): Promise<string | undefined> {
  try {
    return new TextDecoder().decode(await readBytes(join(folder, report)));
  } catch (error) {
    if (isMissing((error as Error).cause)) return undefined;
    throw error;
  }
}
