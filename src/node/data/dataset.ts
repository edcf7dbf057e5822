// What a data set is, opened, and what it is opened with.

import type { Kinds } from '../../checks/options.js';
import type { ImageSource } from '../../data/source.js';
import { type ImageFileOptions, imageFileOptions } from './image_files.js';
import type { DataRecord } from './record.js';

/** Images to learn from, and others, never trained on, to test with where there are labels or twins to test by. */
export interface Dataset {
  readonly name: string;
  readonly train: ImageSource;
  readonly test?: ImageSource;
  /** Whether `test` was held out of the same images, and is no part that came with them. */
  readonly isDrawn?: boolean;
  /** Notes for the user: how it was split, what was left out, whose images these are. */
  readonly notes: readonly string[];
  /** The files that it was made of. */
  readonly record?: DataRecord;
}

export interface DatasetOptions extends ImageFileOptions {
  /** Emoji: 'paired' gives the two drawings of an emoji as the two views, 'augmented' every drawing as an item. */
  readonly protocol?: 'paired' | 'augmented';
  /**
   * Side of the squares that the encoder sees. Drawings of emoji are reduced to this, default their own 64; images
   * of a folder are reduced to no less.
   */
  readonly imageSize?: number;
  /** Draws the split of data that come without one. */
  readonly seed?: number;
  /** Share of the items held out of such data; default 0.2, 0 for none. */
  readonly holdOut?: number;
  /** false takes no labels from sub-folders: all images are trained on together. */
  readonly labels?: boolean;
  /** The folder to train on and the one to test with, below that of the data, where the names do not show which; '.' is all of it. */
  readonly trainDir?: string | null;
  readonly testDir?: string | null;
  /** The data of an earlier run: where names or sizes differ, a DataError lists the differences, before any image is decoded. */
  readonly known?: DataRecord;
}

export const datasetOptions: Kinds<DatasetOptions> = {
  ...imageFileOptions,
  protocol: 'string',
  imageSize: 'number',
  seed: 'number',
  holdOut: 'number',
  labels: 'boolean',
  trainDir: 'any',
  testDir: 'any',
  known: 'object',
};
