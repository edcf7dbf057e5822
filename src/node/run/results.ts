// Writes a command's result as text, JSON and a section of the run's report.
import { basename, dirname, join } from 'node:path';
import type { Tensors } from '../../core/state.js';
import { type RunEncoderFile, writeEncoder } from '../../inference/encoder_file.js';
import type { Classifier } from '../../nn/classifier.js';
import { type Result, resultText } from '../eval/scores.js';
import { checkReport, extendReport } from '../report/extend.js';
import { resultSection } from '../report/result.js';
import { checkPlace, isMissing, readBytes, writeFileAtomic } from '../system/files.js';
import type { WeightsFile } from '../system/weights_file.js';

/** What a training by labels gives. */
export interface Learned {
  readonly result: Result;
  /** The encoder's tensors, and the layer behind it. */
  readonly state: Tensors;
  readonly classifier: Classifier;
  /** The items that encoder or classifier were trained on, as `writeTrained` gives them. */
  readonly trained: string;
}

/** Where a result goes. */
export interface Place extends WeightsFile {
  readonly folder: string;
  /** Of its files, without their endings, and of its section of the report. */
  readonly name: string;
  /** Whether the figures are written, or printed only. */
  readonly report: boolean;
}

const report = 'report.html';

/** Where the user wants it. */
type Wanted = Readonly<{ out: string; report: boolean }>;

/**
 * Where the result of a command goes: `out`, or the folder of the weights. Its name distinguishes it from those of other weights and
 * other data.
 *
 * @throws DataError where files cannot be written there, because the folder is missing or the report there was not written by
 * slimgrad: before the work, not after it
 */
export async function placeOf(
  what: Result['what'],
  { weights, encoder }: WeightsFile,
  data: string,
  { out, report: isWanted }: Wanted,
): Promise<Place> {
  const folder = out || dirname(weights);
  const stem = basename(weights).replace(/\.safetensors$/i, '');
  const name = [what, stem, dataName(data)].join('-').toLowerCase();
  const place = { folder, name: name.replace(/[^\p{L}\p{N}]+/gu, '-'), report: isWanted, weights, encoder };
  if (!isWanted) return place;
  for (const file of [`${place.name}.json`, report]) await checkPlace(join(folder, file));
  const page = await readReport(folder);
  if (page !== undefined) checkReport(page, join(folder, report));
  return place;
}

/** The kind of data, where it is named, and the last part of its folder. */
function dataName(data: string): string {
  const [, kind = '', folder] = /^(?:([\w-]{2,}):)?(.*)$/s.exec(data) ?? [];
  return `${kind} ${folder.split(/[/\\]+/).findLast((part) => /[^.]/.test(part)) ?? ''}`;
}

/** Prints a result; writes its JSON file and its section of the report, which is created if missing. */
export async function publish(result: Result, { folder, name, report: isWanted }: Place): Promise<void> {
  console.log(resultText(result));
  if (!isWanted) return;
  await writeFileAtomic(
    join(folder, `${name}.json`),
    `${JSON.stringify({ format: 'slimgrad result 1', ...result })}\n`,
  );
  const page = extendReport(await readReport(folder), join(folder, report), name, resultSection(result));
  await writeFileAtomic(join(folder, report), page);
  console.log(`\n${name}.json and ${report} are in ${folder}`);
}

/** Where the classifier of a result goes. */
export async function classifierPlace({ folder, name }: Place): Promise<string> {
  const file = join(folder, `${name}.safetensors`);
  await checkPlace(file);
  return file;
}

/**
 * Writes an encoder with its classifier (`classifier.weight`, `classifier.bias`; the classes' names are in the metadata, next to
 * that of the encoder it was). Whatever reads an encoder reads it.
 */
export async function writeClassifier(
  encoder: RunEncoderFile,
  { result, state, classifier, trained }: Learned,
  file: string,
): Promise<void> {
  const { what, data } = result;
  const [how, named] = what === 'finetune' ? ['finetuned', 'Fine-tuned encoder'] : ['probed', 'Encoder'];
  const metadata = { ...encoder.metadata, [how]: data, trained };
  await writeFileAtomic(file, writeEncoder({ ...encoder, state, classifier, metadata }));
  console.log(`${named} and classifier, for slimgrad classify: ${file}`);
}

async function readReport(folder: string): Promise<string | undefined> {
  try {
    return new TextDecoder().decode(await readBytes(join(folder, report)));
  } catch (error) {
    if (isMissing((error as Error).cause)) return undefined;
    throw error;
  }
}
