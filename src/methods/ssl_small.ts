// SSL-Small: MoCo-V2 with settings for small encoders, after epochs of SEED where there is a teacher.
import type { Encoder } from '../encoders/encoder.js';
import { ConfigError } from '../errors.js';
import type { ContrastSettings } from './contrast.js';
import { contrastKinds } from './contrast.js';
import type { Method } from './method.js';
import { mocoV2 } from './moco_v2.js';
import { type SeedSettings, seed, seedKinds } from './seed.js';
import { expectSettings, type Kinds } from './settings.js';

export const sslSmallDefaults = { temperature: 0.1, distilEpochs: 5, projector: (features: number) => 2 * features };

export interface SslSmallSettings extends ContrastSettings, SeedSettings {
  /** Epochs of distillation before the method begins; default 5, none without a teacher. */
  readonly distilEpochs?: number;
}

const sslSmallKinds: Kinds<SslSmallSettings> = { ...contrastKinds, ...seedKinds, distilEpochs: 'number' };

const distilTemperature = 0.2; // of SEED

/**
 * SSL-Small (Shi et al., 2022): MoCo-V2 as small encoders want it, with a lower temperature, a head twice as wide as the features
 * and stronger colors (those are the views'), begun from a few epochs of distillation (SEED). Without a teacher it begins from
 * random weights.
 */
export function sslSmall(encoder: Encoder, settings: SslSmallSettings = {}): Method {
  expectSettings('sslSmall', encoder, settings, sslSmallKinds);
  const { teacher, projector = sslSmallDefaults.projector(encoder.features.host), embedding, queue, ema } = settings;
  const { temperature = sslSmallDefaults.temperature, distilEpochs, teacherTemperature } = settings;
  const shared = { projector, embedding, queue };
  const method: Method = {
    ...mocoV2(encoder, { ...shared, ema, temperature }),
    ...(teacher && { teacher }),
  };
  const epochs = distilEpochs ?? (teacher ? sslSmallDefaults.distilEpochs : 0);
  if (epochs === 0) return method;
  const distil = seed(encoder, { ...shared, temperature: distilTemperature, teacher, teacherTemperature });
  return {
    ...method,
    heads: [...method.heads, ...distil.heads],
    queues: { ...method.queues, ...distil.queues },
    before: {
      name: 'distil',
      epochs,
      momentum: () => 0, // the average begins where the distilled weights end
      record(tape, network, views) {
        if (!teacher)
          throw new ConfigError(
            `teacher (--teacher): expected a trained encoder for ${epochs} epochs of distillation, got none; ` +
              'give the opened encoder as settings.teacher, or 0 distilEpochs (--distil-epochs)',
          );
        const objective = distil.record(tape, network, views);
        const update = () => {
          objective.update?.();
          network.updateAverage(tape.plan);
        };
        return { ...objective, update };
      },
    },
  };
}
