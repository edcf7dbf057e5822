import { SlimgradError, type TrainConfig } from '../src/index.js';
import { downsample } from '../src/node/eval/evaluate.js';
import { type Dataset, openDataset } from '../src/node.js';
import type { Refused } from './experiment.js';
import { type DataName, dataNames, fashion, settingsOf } from './settings.js';

const opened = new Map<string, Promise<Dataset>>();

/** The data of a run, opened once: all emoji, some of the others' images. */
export function openData({
  data,
  protocol,
  seed,
  imageSize,
}: Pick<TrainConfig, 'data' | 'protocol' | 'seed' | 'imageSize'>) {
  const key = `${data} ${data === 'emoji' ? seed : ''}`;
  const known = opened.get(key) ?? openDataset(data, { protocol, seed, imageSize }).then(reduced);
  opened.set(key, known);
  return known;
}

function reduced(dataset: Dataset): Dataset {
  const { train, test } = dataset;
  if (!test || train.images === 2) return dataset;
  return { ...dataset, train: downsample(train, fashion.train), test: downsample(test, fashion.test) };
}

/** Training images, or pairs, of each data set; or why it cannot be had. */
export async function trainingItems(): Promise<Record<DataName, number | Refused>> {
  const entries = dataNames.map(async (data) => {
    const { protocol } = settingsOf('sacl_xd', data);
    try {
      const { train } = await openData({ data, protocol: protocol as TrainConfig['protocol'], seed: 0, imageSize: 32 });
      return [data, train.length];
    } catch (error) {
      if (!(error instanceof SlimgradError)) throw error;
      return [data, { error: error.message }];
    }
  });
  return Object.fromEntries(await Promise.all(entries));
}
