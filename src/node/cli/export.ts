import type { Width } from '../../core/parameters.js';
import { ConfigError } from '../../errors.js';
import { some } from '../../eval/labels.js';
import { foldBatchnorm, traceEncoder } from '../../export/graph.js';
import { exportOnnx, onnxOpset } from '../../export/onnx.js';
import { f32, writeSafetensors } from '../../formats/safetensors.js';
import { metadataOf, type RunEncoderFile, readEncoder, tensorsOf } from '../../inference/encoder_file.js';
import { imagenetStatistics } from '../../ops/augment.js';
import { numel } from '../../tensor/tensor.js';
import { checkPlace, readBytes, writeFileAtomic } from '../system/files.js';
import type { Command } from './command.js';
import { UsageError } from './flags.js';

export const exportCommand: Command = {
  name: 'export',
  summary: 'write an encoder for other programs: ONNX, or safetensors for torchvision',
  usage: 'export --weights FILE --out FILE [FLAGS]',
  positional: [],
  flags: [
    {
      flag: '--weights',
      key: 'weights',
      value: 'FILE',
      doc: 'an encoder, as slim.safetensors of a run',
      default: 'needed',
    },
    {
      flag: '--out',
      key: 'out',
      value: 'FILE',
      doc: 'where to write',
      default: 'needed',
    },
    {
      flag: '--format',
      key: 'format',
      value: 'onnx|safetensors',
      doc: 'of the file',
      default: 'as its name ends',
    },
    {
      flag: '--fold',
      key: 'fold',
      value: '',
      doc: 'take every batchnorm into the weights of the convolution before it: fewer steps, the same features but for rounding',
      default: 'false',
    },
    {
      flag: '--part',
      key: 'part',
      value: 'slim|host',
      doc: 'refuse a file of the other encoder',
    },
  ],
  examples: [
    ['slimgrad export --weights runs/demo-0/slim.safetensors --out slim.onnx', 'for ONNX Runtime, in any language'],
    ['slimgrad export --weights runs/demo-0/slim.safetensors --out slim.onnx --fold', 'without batchnorms'],
    ['slimgrad export --weights runs/a/host.safetensors --out host.safetensors', 'for PyTorch'],
  ],
  async run({ values }) {
    const { weights, out, fold = false } = values;
    for (const [flag, value] of Object.entries({ weights, out }))
      if (value === undefined) throw new UsageError(`--${flag}: needed, but not given; see slimgrad export --help`);
    const format = oneOf(exportFormats, '--format', values.format);
    const part = oneOf(['slim', 'host'] as const, '--part', values.part);
    const options = { fold: fold === true, ...(format && { format }), ...(part && { part }) };
    console.log(await exportFile(String(weights), String(out), options));
    return 0;
  },
};

function oneOf<T extends string>(known: readonly T[], flag: string, value: unknown): T | undefined {
  const found = known.find((name) => name === value);
  if (value !== undefined && !found) throw new ConfigError(`${flag}: expected ${known.join(' or ')}, got '${value}'`);
  return found;
}

export const exportFormats = ['onnx', 'safetensors'] as const;
export type ExportFormat = (typeof exportFormats)[number];

export interface ExportFileOptions {
  /** By the ending of the file's name where left out. */
  format?: ExportFormat;
  /** Take every batchnorm into the weights of the layer before it. */
  fold?: boolean;
  /** The encoder that is expected to be in the file. */
  part?: Width;
}

/**
 * Writes the encoder in `weights` to `out` for other programs: as ONNX, or as safetensors under torchvision's names.
 *
 * @returns a few lines on what was written, and on how to use it
 * @throws DataError where a file cannot be used; ConfigError where the format is unknown or the part is not the file's
 */
export async function exportFile(weights: string, out: string, options: ExportFileOptions = {}): Promise<string> {
  const { format = formatOf(out), fold = false, part } = options;
  await checkPlace(out);
  const file = readEncoder(await readBytes(weights), { file: weights });
  if (part && part !== file.part)
    throw new ConfigError(
      `--part: expected the ${part} encoder, but ${weights} holds the ${file.part} one; give the ${part}.safetensors beside it`,
    );
  const bytes = format === 'onnx' ? onnx(file, fold) : safetensors(file, fold);
  await writeFileAtomic(out, bytes);
  return `${headline(file, out, bytes.length, fold)}\n${format === 'onnx' ? ofOnnx(file) : ofSafetensors(file, fold)}`;
}

function formatOf(out: string): ExportFormat {
  const found = exportFormats.find((format) => out.toLowerCase().endsWith(`.${format}`));
  if (!found)
    throw new ConfigError(`--format: expected ${exportFormats.join(' or ')}, which the name ${out} does not tell`);
  return found;
}

function onnx(file: RunEncoderFile, fold: boolean): Uint8Array {
  return exportOnnx(file, { fold, metadata: metadataOf(file) });
}

function safetensors(file: RunEncoderFile, fold: boolean): Uint8Array {
  const { encoder, state, imageSize, step } = file;
  if (!fold) return writeSafetensors(tensorsOf(state, step), metadataOf(file));
  const { parameters } = foldBatchnorm(traceEncoder(encoder, state, imageSize));
  const tensors = Array.from(parameters, ([name, { shape, data }]) => [name, f32(shape, data)] as const);
  return writeSafetensors(tensors, { ...metadataOf(file), format: 'slimgrad folded encoder 1' });
}

function headline({ config, part, encoder }: RunEncoderFile, out: string, bytes: number, fold: boolean): string {
  const { host: features } = encoder.features;
  const parameters = encoder.parameters.reduce((sum, { shape }) => sum + numel(shape), 0);
  const size = `${(parameters / 1e6).toFixed(2)} M parameters, ${(bytes / 1e6).toFixed(1)} MB`;
  const how = fold ? ', batchnorm folded into the convolutions' : '';
  return `Wrote ${out}: the ${part} ${config.encoder}, ${features} features, ${size}${how}.`;
}

function ofOnnx({ encoder, imageSize: side, classifier }: RunEncoderFile): string {
  const [mean, std] = [imagenetStatistics.mean, imagenetStatistics.std].map((color) => color.join(' '));
  return `Opset ${onnxOpset}; any batch.
  image     (batch, 3, ${side}, ${side})   RGB from 0 to 1, less ${mean}, over ${std}
  features  (batch, ${encoder.features.host})${classifier ? logits(classifier.classes) : ''}`;
}

const logits = (classes: readonly string[]) =>
  `\n  logits    (batch, ${classes.length})   of the classes in its metadata: ${some(classes)}`;

function ofSafetensors({ config, classifier }: RunEncoderFile, fold: boolean): string {
  const names = namesOf(config, fold);
  return classifier ? `${names} The classifier is left out; ONNX keeps it.` : names;
}

function namesOf(config: RunEncoderFile['config'], fold: boolean): string {
  if (fold) return "torchvision's names; each convolution has a bias in place of its batchnorm.";
  return config.encoder === 'mobilenet_v1' || config.encoder === 'resnet20'
    ? "Names in torchvision's manner; torchvision itself has no such model."
    : `torchvision's names: ${config.encoder}() loads it strictly once its classifier is an Identity.`;
}
