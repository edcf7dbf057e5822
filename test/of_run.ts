import type { TrainConfig } from '../src/config.js';
import type { RunEncoderFile } from '../src/encoder_file.js';
import type { Tensors, Width } from '../src/parameters.js';
import { encoderOf } from '../src/run_file.js';

/** An encoder as a run's file has it. */
export function ofRun(config: TrainConfig, state: Tensors, part: Width = 'slim'): RunEncoderFile {
  const { imageSize } = config;
  return { encoder: encoderOf(config, part), state, imageSize, step: 0, part, config, metadata: {} };
}
