import { ConfigError } from '../../errors.js';
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
    const { exportFile, exportFormats } = await import('./export_file.js');
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
