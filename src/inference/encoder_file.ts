// The file of a trained encoder: written, read, and checked against its network.
import { expectOptions, type Kinds } from '../checks/options.js';
import { textOf } from '../checks/text_of.js';
import type { TrainConfig } from '../config/settings.js';
import type { Width } from '../core/parameters.js';
import type { Tensors } from '../core/state.js';
import { fnv1a } from '../data/fnv1a.js';
import { checkSquare } from '../data/resize.js';
import type { SquareOptions } from '../data/source.js';
import { checkEncoder, type Encoder } from '../encoders/encoder.js';
import { ConfigError, DataError, SlimgradError } from '../errors.js';
import { checkState } from '../formats/checkpoint.js';
import { f32, readSafetensors, type SavedTensor, toTensors, writeSafetensors } from '../formats/safetensors.js';
import { type Classifier, classifierShapes } from '../nn/classifier.js';
import { checkSize } from './features.js';
import { encoderOf, readConfig, writeConfig } from './run_file.js';
import { shapesOf } from './state_dict.js';
import { backboneState, checkBackbone } from './torchvision.js';

const format = 'slimgrad encoder 1';

/** A trained encoder as it is kept in a file: of a run of the command line, or of a program's own. */
export interface EncoderFile {
  /** The network, of which the file has the host's width: a slim encoder stands by itself (`slimOf`). */
  readonly encoder: Encoder;
  /** Its tensors, by its own names; torchvision's where the encoder is one of slimgrad's. */
  readonly state: Tensors;
  /** Side of the squares that images are resized and cropped to. */
  readonly imageSize: number;
  /** How images become those squares, where it is not as `ImageEncoder` does it. */
  readonly square?: SquareOptions;
  /** Steps of training. */
  readonly step: number;
  /** Which of a run's two encoders it is. */
  readonly part?: Width;
  /**
   * The settings of a run of the command line, from which the encoder is built again. Those that do not change what is computed
   * (`out`, `checkpointEvery`, …) are not kept. A program's own encoder has none.
   */
  readonly config?: TrainConfig;
  /** The layer behind it, where it was trained with labels. */
  readonly classifier?: Classifier;
  /** Other metadata of the file. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** An encoder of a run of the command line, which its file describes. */
export interface RunEncoderFile extends EncoderFile {
  readonly part: Width;
  readonly config: TrainConfig;
}

/** How an encoder's file is read. */
export interface ReadEncoderOptions {
  /** The network that the file is of, at its host's width: needed where it is a program's own. */
  readonly encoder?: Encoder | undefined;
  /** The file's name for error messages; default `encoder`. */
  readonly file?: string | undefined;
}

export const readKinds: Kinds<ReadEncoderOptions> = { encoder: 'any', file: 'string' };

/** What the metadata of a file say in fields of `EncoderFile`. */
const fields = ['format', 'part', 'step', 'config', 'imageSize', 'square', 'digest', 'classes'] as const;
type Fields = { -readonly [K in (typeof fields)[number]]?: string };

const counter = (name: string) => name.replace(/running_mean$/, 'num_batches_tracked');

/**
 * The bytes of an encoder's file; `readEncoder` is the inverse. A model of torchvision without its classifier loads it
 * strictly: to that end every batchnorm has its count of batches, `num_batches_tracked`, which is the steps of training.
 *
 * @throws DataError that lists every tensor of the state, or of the classifier, that is missing, extra or of another shape;
 * ConfigError where a field is out of range, `config` comes without `part`, or a name is one that the file needs for itself
 */
export function writeEncoder(file: EncoderFile): Uint8Array<ArrayBuffer> {
  checkFile(Object(file));
  const { state, classifier, step } = file;
  return writeSafetensors([...tensorsOf(state, step), ...(classifier?.state ?? [])], metadataOf(file));
}

/** An encoder's tensors, with a count of batches for every batchnorm. */
export function tensorsOf(state: Tensors, step: number): [name: string, SavedTensor][] {
  const batches = BigInt64Array.of(BigInt(step));
  return [...state].flatMap(([name, { shape, data }]): [string, SavedTensor][] => {
    const saved: [string, SavedTensor] = [name, f32(shape, data)];
    return name.endsWith('.running_mean')
      ? [saved, [counter(name), { dtype: 'I64', shape: [], data: batches }]]
      : [saved];
  });
}

/** All metadata of an encoder's file, as text, by name. */
export function metadataOf(file: EncoderFile): Record<string, string> {
  const all = { ...file.metadata, ...fieldsOf(file) };
  return Object.fromEntries(Object.entries(all).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function fieldsOf({ encoder, imageSize, square, step, part, config, classifier }: EncoderFile): Fields {
  return {
    format,
    step: String(step),
    ...(part && { part }),
    ...(config ? { config: writeConfig(config) } : { digest: digestOf(encoder) }),
    ...(imageSize !== config?.imageSize && { imageSize: String(imageSize) }),
    ...(square && { square: JSON.stringify(square) }),
    ...(classifier && { classes: JSON.stringify(classifier.classes) }),
  };
}

function checkFile(file: EncoderFile) {
  const { encoder, state, imageSize, square = {}, step, part, config, classifier, metadata } = file;
  checkEncoder('writeEncoder', encoder);
  checkSize('writeEncoder', { backbone: encoder, imageSize });
  checkSquare(imageSize, square);
  const refuse = (expected: string, got: unknown): never => {
    throw new ConfigError(`writeEncoder: expected ${expected}, got ${got}`);
  };
  if (!Number.isSafeInteger(step) || step < 0 || step >= 1e15) refuse('a whole step from 0 to 15 digits', step);
  if (part !== undefined && part !== 'host' && part !== 'slim') refuse('part host or slim', part);
  if (config && !part) refuse('the part of its run, host or slim, with a config', part);
  if (Object.values(Object(metadata)).some((value) => typeof value !== 'string') || Object(metadata) !== metadata)
    refuse('metadata of texts by their names, {} where there is none', textOf(metadata));
  const taken = fields.find((field) => Object.hasOwn(metadata, field));
  if (taken) refuse('metadata without the keys of other fields', `"${taken}"; remove it`);
  const shapes = shapesOf(encoder);
  const odd = [...shapes.keys()].find((name) => name.startsWith('classifier.'));
  if (odd) refuse('other names than classifier.…, which is the layer behind the encoder', odd);
  checkBackbone(encoder, state, 'writeEncoder');
  if (classifier) checkClassifier(classifier, encoder.features.host, 'writeEncoder');
}

/**
 * The encoder in the bytes of a run's `slim.safetensors` or `host.safetensors`, or of what `writeEncoder` made. It needs no GPU.
 *
 * @throws DataError where the file is damaged or not one of slimgrad's, its tensors are not those of its encoder, all that
 * differs listed, or it is a program's own and no encoder is given; ConfigError where what is given is none
 */
export function readEncoder(
  bytes: Uint8Array,
  options?: ReadEncoderOptions & { readonly encoder?: undefined },
): RunEncoderFile;
export function readEncoder(bytes: Uint8Array, options: ReadEncoderOptions): EncoderFile;
export function readEncoder(bytes: Uint8Array, options: ReadEncoderOptions = {}): EncoderFile {
  const { encoder, file = 'encoder' } = expectOptions('readEncoder', options, readKinds);
  if (encoder !== undefined) checkEncoder('readEncoder', encoder);
  const { config, ...read } = readFile(bytes, file, readConfig);
  const { part } = read.about;
  if (encoder) return { ...encoderFile(read, encoder, file), ...(config && { config }) };
  if (!config || !part)
    throw new DataError(
      `${file}: this file's encoder is a program's own; open it with openEncoder(device, bytes, { encoder })`,
    );
  return { ...encoderFile(read, encoderOf(config, part), file, backboneState(read.tensors)), config };
}

/**
 * The encoder in the bytes of such a file, whose network is at hand: what `readEncoder` gives, but for the `config` of a run. It
 * knows neither settings nor the encoders that they name, and so weighs little in a program.
 *
 * @param encoder the network, at its host's width
 * @param file its name for error messages
 * @throws DataError as `readEncoder`; ConfigError where there is no encoder
 */
export function readEncoderOf(encoder: Encoder, bytes: Uint8Array, file = 'encoder'): EncoderFile {
  checkEncoder('readEncoderOf', encoder);
  return encoderFile(readFile(bytes, file, sideOf), encoder, file);
}

/** What a file's header contains, before the network is known. */
interface Read {
  readonly tensors: ReadonlyMap<string, SavedTensor>;
  readonly about: About;
  readonly metadata: EncoderFile['metadata'];
}

/** @param settingsOf reads a run's settings, of which the side of the images is needed */
function readFile<Settings extends Pick<EncoderFile, 'imageSize'>>(
  bytes: Uint8Array,
  file: string,
  settingsOf: (text: string, file: string) => Settings,
): Read & { readonly config: Settings | undefined } {
  const { tensors, metadata } = readSafetensors(bytes, file);
  checkFormat(metadata, file);
  const config = metadata.config ? settingsOf(metadata.config, file) : undefined;
  return { tensors, metadata, config, about: readFields(metadata, config?.imageSize, file) };
}

/** The image size in a run's settings; an invalid one is rejected like a missing one. */
function sideOf(text: string): Pick<EncoderFile, 'imageSize'> {
  return { imageSize: Number((parsed(text) as { imageSize?: unknown } | null | undefined)?.imageSize) };
}

function encoderFile(
  { tensors, about, metadata }: Read,
  encoder: Encoder,
  file: string,
  state = stateOf(encoder, tensors),
): EncoderFile {
  checkBackbone(encoder, state, file);
  if (!metadata.config && metadata.digest !== digestOf(encoder))
    throw new DataError(
      `${file}: expected the digest of its encoder's names and shapes, ${digestOf(encoder)}, got ${metadata.digest}`,
    );
  const classifier = classifierOf(tensors, metadata, encoder, file);
  const rest = Object.entries(metadata).filter(([key]) => !(fields as readonly string[]).includes(key));
  return { encoder, state, ...about, ...(classifier && { classifier }), metadata: Object.fromEntries(rest) };
}

/** A file's tensors of a given encoder: all but the classifier and the batch counters, under any naming scheme. */
function stateOf(encoder: Encoder, tensors: ReadonlyMap<string, SavedTensor>): Tensors {
  const shapes = shapesOf(encoder);
  const counters = new Set([...tensors.keys()].filter((name) => name.endsWith('.running_mean')).map(counter));
  return toTensors(
    [...tensors].filter(([name]) => shapes.has(name) || !(name.startsWith('classifier.') || counters.has(name))),
  );
}

function classifierOf(
  tensors: ReadonlyMap<string, SavedTensor>,
  { classes: text }: EncoderFile['metadata'],
  encoder: Encoder,
  file: string,
): Classifier | undefined {
  const found = [...tensors].filter(([name]) => name.startsWith('classifier.'));
  if (found.length === 0) return undefined;
  const state = toTensors(found, file);
  const count = state.get('classifier.bias')?.shape[0] ?? 0;
  const names = text === undefined ? Array.from({ length: count }, (_, k) => String(k)) : parseNames(text);
  const classifier = { classes: names ?? [], state };
  checkClassifier(classifier, encoder.features.host, file, text);
  return classifier;
}

/** @param text what stands for the names in the file */
export function checkClassifier(classifier: Classifier, features: number, file: string, text?: string): void {
  const { classes, state } = Object(classifier) as Classifier;
  if (!Array.isArray(classes) || !((state as unknown) instanceof Map))
    throw new DataError(`${file}: expected a classifier { classes, state }, got ${textOf(classifier)}`);
  const count = state.get('classifier.bias')?.shape[0] ?? 0;
  checkState(state, classifierShapes(features, count), file);
  if (classes.length !== count)
    throw new DataError(
      `${file}: expected the names of its classifier's ${count} classes as a JSON array under "classes" of its metadata, ` +
        `got ${text ?? JSON.stringify(classes)}`,
    );
}

function parseNames(text: string): string[] | undefined {
  const names = parsed(text);
  return Array.isArray(names) && names.every((name) => typeof name === 'string') ? names : undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

type About = Pick<EncoderFile, 'imageSize' | 'square' | 'step' | 'part'>;

const isPart = (part: string | undefined): part is Width => part === 'host' || part === 'slim';

function checkFormat({ format: found, part, step = '0', config, imageSize }: Fields, file: string): void {
  const isComplete = config ? isPart(part) : imageSize !== undefined && (isPart(part) || part === undefined);
  if (found !== format || !isComplete || !/^\d{1,15}$/.test(step))
    throw new DataError(
      `${file}: expected an encoder of slimgrad (format "${format}"), got ${found ? `"${found}"` : 'no format'}; ` +
        'give the slim.safetensors or host.safetensors of a run folder; state dicts of torchvision are for embed --encoder',
    );
}

/** @param ofRun the side of the images where the file gives none */
function readFields(
  { part, step = '0', imageSize: side, square: how }: Fields,
  ofRun: number | undefined,
  file: string,
): About {
  const imageSize = Number(side ?? ofRun);
  const square = how === undefined ? undefined : readSquare(how, imageSize, file);
  if (!Number.isInteger(imageSize) || imageSize < 1 || imageSize > 1024)
    throw new DataError(`${file}: expected an imageSize from 1 to 1024 in its metadata, got ${side}`);
  return { imageSize, ...(square && { square }), step: Number(step), ...(isPart(part) && { part }) };
}

function readSquare(text: string, imageSize: number, file: string): SquareOptions {
  const square = parsed(text);
  try {
    if (typeof square !== 'object' || square === null) throw new ConfigError(`expected an object, got ${text}`);
    checkSquare(imageSize, square);
    return square;
  } catch (cause) {
    throw cause instanceof SlimgradError ? new DataError(`${file}: its "square": ${cause.message}`, { cause }) : cause;
  }
}

/** Tells encoders of other names, shapes or strides apart, in 8 letters: FNV-1a of their text. */
function digestOf(encoder: Encoder): string {
  const shapes = Array.from(shapesOf(encoder), ([name, shape]) => `${name} ${shape.join()}`).sort();
  const text = JSON.stringify([...shapes, encoder.features.host, encoder.stride]);
  return fnv1a(text).toString(16).padStart(8, '0');
}
