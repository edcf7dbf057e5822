import type { TrainConfig } from '../../config/settings.js';

/** A method as a report speaks of it. */
interface Words {
  title: string;
  /** What the embeddings are of that the correlation matrix compares: its rows, its columns. */
  compared: readonly [rows: string, columns: string];
  /** Who is trained, given the encoder's name in HTML and the host's width as a factor. */
  who(encoder: string, ratio: string): string;
}

const alone = (encoder: string) => `One encoder, ${encoder}.`;
const slice = (encoder: string, ratio: string) =>
  `The slim encoder, ${encoder}, is a slice of a host ${ratio} times as wide; both are trained together.`;
const taught = (encoder: string) => `The encoder, ${encoder}, learns from a frozen teacher.`;
const beside = (encoder: string, ratio: string) =>
  `The slim encoder, ${encoder}, learns from a host ${ratio} times as wide; both are trained together.`;

const views = ['view A', 'view B'] as const;
const widths = ['host', 'slim'] as const;
const keys = ['query', 'key'] as const;

export const methodWords: Record<TrainConfig['method'], Words> = {
  sacl_xd: { title: 'SACL+XD', compared: widths, who: slice },
  sacl: { title: 'SACL', compared: widths, who: slice },
  xd: { title: 'XD only', compared: views, who: alone },
  barlow_twins: { title: 'Barlow Twins', compared: views, who: alone },
  moco_v2: { title: 'MoCo-V2', compared: keys, who: alone },
  byol: { title: 'BYOL', compared: ['predicted', 'averaged encoder'], who: alone },
  ssl_small: { title: 'SSL-Small', compared: keys, who: alone },
  seed: { title: 'SEED', compared: ['encoder', 'teacher'], who: taught },
  disco: { title: 'DisCo', compared: keys, who: taught },
  rekd: { title: 'ReKD', compared: ['encoder', "teacher's key"], who: beside },
  oss: { title: 'OSS', compared: views, who: beside },
};
