import { number, range, text, toggle } from './kinds.js';

/** Which images of a folder are used, and in which role (docs/data.md): for runs and for evaluations. */
export const dataSettings = {
  labels: toggle('take sub-folders as labels; without, all images are trained on together', true),
  trainDir: text<string | null>('the folder to train on, below that of the data', null, 'DIR', {
    shown: 'by the names of folders',
  }),
  testDir: text<string | null>('the folder to test with, below that of the data', null, 'DIR', {
    shown: 'by the names of folders',
  }),
  holdOut: number('share of labeled images to hold out, where no part is there to test with', 0.2, {
    min: 0,
    below: 1,
  }),
  maxBad: number<number | null>('share of images that may be unusable', null, {
    min: 0,
    max: 1,
    shown: 'a tenth, or up to 5 that are less than half',
  }),
  range: range('values of images of more than 8 bits that become black and white', 'BLACK,WHITE', {
    shown: '0,65535 of 16 bits',
  }),
};
