// `slimgrad export`: an encoder as ONNX or safetensors.
import { flagsOf } from '../../config/flags.js';
import { choice, required, text, toggle } from '../../config/kinds.js';
import { ConfigError } from '../../errors.js';
import { some } from '../../eval/labels.js';
import { foldBatchnorm, traceEncoder } from '../../export/graph.js';
import { exportOnnx, onnxOpset } from '../../export/onnx.js';
import { f32, writeSafetensors } from '../../formats/safetensors.js';
import { metadataOf, type RunEncoderFile, tensorsOf } from '../../inference/encoder_file.js';
import { imagenetStatistics } from '../../ops/augment.js';
import { numel } from '../../tensor/tensor.js';
import { checkPlace, writeFileAtomic } from '../system/files.js';
import { readWeights, type WeightsFile } from '../system/weights_file.js';
import type { Command } from './command.js';
import { completeFlags } from './flags.js';
import { weightsSettings } from './subject.js';

const exportFormats = ['onnx', 'safetensors'] as const;
type ExportFormat = (typeof exportFormats)[number];

const settings = {
  ...weightsSettings,
  out: text('where to write', required, 'FILE'),
  format: choice<ExportFormat | null>('file format', null, exportFormats, { shown: 'by the file name' }),
  fold: toggle(
    'fold every batchnorm into the convolution before it: fewer nodes, the same features up to rounding',
    false,
  ),
};

export const exportCommand: Command = {
  usage: 'export --weights FILE --out FILE [FLAGS]',
  positional: [],
  flags: flagsOf(settings),
  examples: [
    ['slimgrad export --weights runs/demo-0/slim.safetensors --out slim.onnx', 'for ONNX Runtime, in any language'],
    ['slimgrad export --weights runs/demo-0/slim.safetensors --out slim.onnx --fold', 'without batchnorms'],
    ['slimgrad export --weights runs/a/host.safetensors --out host.safetensors', 'for PyTorch'],
  ],
  async run({ values }) {
    const { weights, out, part, format, fold } = completeFlags('slimgrad export', settings, values);
    await checkPlace(out);
    console.log(await exportFile(await readWeights(weights, part), out, { fold, ...(format && { format }) }));
    return 0;
  },
};

interface ExportFileOptions {
  /** Default: by the extension of the file's name. */
  format?: ExportFormat;
  /** Fold every batchnorm into the weights of the layer before it. */
  fold?: boolean;
}

/**
 * Writes the encoder in `weights` to `out` for other programs: as ONNX, or as safetensors under torchvision's names.
 *
 * @returns a few lines on what was written, and on how to use it
 * @throws DataError where a file cannot be used; ConfigError where the format is unknown
 */
async function exportFile(
  { encoder: file }: WeightsFile,
  out: string,
  options: ExportFileOptions = {},
): Promise<string> {
  const { format = formatOf(out), fold = false } = options;
  const bytes = format === 'onnx' ? onnx(file, fold) : safetensors(file, fold);
  await writeFileAtomic(out, bytes);
  return `${headline(file, out, bytes.length, fold)}\n${format === 'onnx' ? ofOnnx(file) : ofSafetensors(file, fold)}`;
}

function formatOf(out: string): ExportFormat {
  const found = exportFormats.find((format) => out.toLowerCase().endsWith(`.${format}`));
  if (!found)
    throw new ConfigError(
      `--format: expected ${exportFormats.join(' or ')}, as the file name ${out} has neither extension`,
    );
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
  image     (batch, 3, ${side}, ${side})   RGB from 0 to 1, minus ${mean}, divided by ${std}
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
    ? "Names in torchvision's style; torchvision itself has no such model."
    : `torchvision's names: ${config.encoder}() loads it with strict=True once its classifier is an Identity.`;
}
