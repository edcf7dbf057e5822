import type { ContrastSettings } from './contrast.js';
import type { Method } from './method.js';
import { mocoV2 } from './moco_v2.js';
import { type SeedSettings, seed } from './seed.js';
import type { Teacher } from './teacher.js';

export interface SslSmallSettings extends ContrastSettings, SeedSettings {
  /** Epochs of distillation before the method begins; none without a teacher. */
  readonly distilEpochs: number;
}

const distilTemperature = 0.2; // of SEED

/**
 * SSL-Small (Shi et al., 2022): MoCo-V2 as small encoders want it, with a lower temperature, a wider head and stronger
 * colours, begun from a few epochs of distillation (SEED). Without a teacher it begins from random weights.
 */
export function sslSmall(settings: SslSmallSettings, teacher?: Teacher): Method {
  const method = mocoV2(settings);
  const { distilEpochs: epochs } = settings;
  if (!teacher || epochs === 0) return method;
  const distil = seed({ ...settings, temperature: distilTemperature }, teacher);
  return {
    ...method,
    heads: [...method.heads, ...distil.heads],
    queues: { ...method.queues, ...distil.queues },
    before: {
      name: 'distil',
      epochs,
      momentum: () => 0, // the average begins where the distilled weights end
      record(plan, network, views) {
        const objective = distil.record(plan, network, views);
        const update = () => {
          objective.update?.();
          network.updateAverage(plan);
        };
        return { ...objective, update };
      },
    },
  };
}
