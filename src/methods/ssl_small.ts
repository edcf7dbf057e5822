import type { Encoder } from '../encoders/encoder.js';
import { type ContrastSettings, contrastDefaults } from './contrast.js';
import type { Method } from './method.js';
import { mocoV2, mocoV2Spec } from './moco_v2.js';
import { type Default, type MethodSpec, settle } from './settings.js';

const twiceFeatures: Default = ({ features }) => 2 * features;

export const sslSmallSpec = {
  title: 'SSL-Small',
  networks: 'one',
  passes: mocoV2Spec.passes,
  compared: ['query', 'key'],
  defaults: {
    projector: twiceFeatures,
    ...contrastDefaults,
    temperature: 0.1,
  },
} as const satisfies MethodSpec;

/**
 * SSL-Small (Shi et al., 2022): MoCo-V2 tuned for small encoders: a lower temperature, a head twice as wide as the features and
 * stronger color jitter (set in the views). Its authors start from a few epochs of distillation: train by `seed`, and pass
 * the encoder to the trainer as `init`.
 */
export function sslSmall(encoder: Encoder, settings: ContrastSettings = {}): Method {
  return mocoV2(encoder, settle('sslSmall', encoder, settings, sslSmallSpec));
}
