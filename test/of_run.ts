import type { TrainConfig } from '../src/config/settings.js';
import type { Width } from '../src/core/parameters.js';
import type { Tensors } from '../src/core/state.js';
import type { RunEncoderFile } from '../src/inference/encoder_file.js';
import { encoderOf } from '../src/inference/run_file.js';

/** An encoder as a run's file has it. */
export function ofRun(config: TrainConfig, state: Tensors, part: Width = 'slim'): RunEncoderFile {
  const { imageSize } = config;
  return { encoder: encoderOf(config, part), state, imageSize, step: 0, part, config, metadata: {} };
}
