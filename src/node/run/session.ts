// Opens device, data and trainer for a run.
import { methods } from '../../config/methods.js';
import { methodOf, trainerOptionsOf } from '../../config/run.js';
import type { Width } from '../../core/parameters.js';
import type { Tensors } from '../../core/state.js';
import { costNote } from '../../cost/text.js';
import { ImageEncoder } from '../../inference/image_encoder.js';
import { encoderOf } from '../../inference/run_file.js';
import { statsOf } from '../../runtime/stats.js';
import { initialState } from '../../train/initial_state.js';
import { Trainer } from '../../train/trainer.js';
import { datasetOptionsOf, openDataset } from '../data/datasets.js';
import { openDevice } from '../device/device.js';
import { tuning } from '../device/tuning.js';
import { evaluateCopies } from '../eval/copies.js';
import { evaluate, pixelBaseline } from '../eval/evaluate.js';
import { quickScores } from '../eval/quick_scores.js';
import { readInit } from './init_file.js';
import type { OpenSession, Session } from './pretrain.js';
import { openTeacher } from './teacher_file.js';

/** Opens device, data and trainer for a run. */
export const openSession: OpenSession = async (config, { kernels, known, resumed, note, status }): Promise<Session> => {
  const { data, protocol } = config;
  const { networks } = methods[config.method];
  const init = resumed ? undefined : await readInit(config); // before images are decoded for nothing
  const dataset = await openDataset(data, {
    ...datasetOptionsOf(config),
    ...(known && { known }),
    onProgress: (done, total) => status?.(`Decoding images: ${done} of ${total}`),
  });
  status?.('');
  for (const line of dataset.notes) note(line);
  const device = await openDevice({ onNotice: note });
  try {
    const teacher = await openTeacher(config, device);
    if (teacher) note(`Learning from ${config.teacher}, ${teacher.features} features.`);
    note(`Training on ${dataset.train.length} ${protocol === 'paired' ? 'pairs' : 'images'} with ${device.name}.`);
    if (init) note(`Starting from ${config.init}.`);
    const started = performance.now();
    // Another adapter may not have them; `pretrain` warns then.
    const variants = kernels?.adapter === device.name ? kernels.variants : undefined;
    const method = methodOf(config, teacher);
    const trainer = await Trainer.open(device, method, dataset.train, {
      ...trainerOptionsOf(config),
      ...(init && { init }),
      ...(variants && { variants }),
      ...(config.tune && { tune: tuning(note) }),
      onCompile: (done, total) => status?.(`Compiling kernels: ${done} of ${total}`),
    });
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    note(`Compiled ${statsOf(trainer.plan).pipelines} kernels in ${seconds} s.`);
    const { cost } = trainer;
    note(costNote(cost));
    // Before any checkpoint is loaded: the encoder as the seed made it.
    const untrained = init
      ? await initialState(device, method, 'slim', config.seed)
      : await trainer.encoderState('slim');
    const imageEncoder = (width: Width, state: Tensors) =>
      new ImageEncoder(device, { encoder: encoderOf(config, width), state, imageSize: config.imageSize });
    return {
      trainer,
      adapter: device.name,
      images: dataset.train.length,
      ...(dataset.record && { data: dataset.record }),
      ...(dataset.train.digests && { digests: dataset.train.digests }),
      cost,
      score: async () => {
        const { imageSize, seed } = config;
        const encoder = imageEncoder('slim', await trainer.encoderState('slim'));
        try {
          return { ...(await quickScores(dataset, encoder, { device, imageSize, seed })) };
        } finally {
          encoder.dispose();
        }
      },
      evaluate: async () => {
        const findsCopies = config.views === 'clean-edited';
        const states: [Width, string, Tensors][] = [
          ['slim', 'slim encoder, trained', await trainer.encoderState('slim')],
          ...(findsCopies && networks === 'sliced'
            ? [['host', 'host encoder, trained', await trainer.encoderState('host')] as [Width, string, Tensors]]
            : []),
          ['slim', 'slim encoder, untrained', untrained],
        ];
        const { imageSize, seed } = config;
        const encoders = states.map(([width, name, state]) => ({
          name,
          embedder: imageEncoder(width, state),
          isTrained: state !== untrained,
          ranked: true,
        }));
        try {
          if (findsCopies) {
            note('Evaluating: edited copies are searched by the encoders, and by what is not trained.');
            const onContender = (name: string) => status?.(`Searching copies by ${name}`);
            return await evaluateCopies(dataset, encoders, { device, imageSize, seed, onContender });
          }
          note('Evaluating the slim encoder, trained and untrained, and raw pixels.');
          return await evaluate(dataset, [...encoders, pixelBaseline(imageSize)], { device });
        } finally {
          status?.('');
          for (const { embedder } of encoders) embedder.dispose();
        }
      },
      dispose: () => {
        trainer.dispose();
        device.dispose();
      },
    };
  } catch (error) {
    device.dispose();
    throw error;
  }
};
