/** An encoder of four blocks, and a recipe that trains it noticeably in a minute on a CPU. */
const small = {
  width: 0.25,
  stemStride: 2,
  blocks: '64/1 128/2 256/2 512/1',
  projector: 256,
  alpha: 0.5,
  lambda: 0.02,
  optimizer: 'sgd',
  lr: 0.005,
  decayAll: false,
  batch: 64,
  cropMin: 0.3,
  checkpointEvery: 50,
} as const;

/**
 * Views for an encoder that finds edited copies of an image: A is the image itself, B is cropped, rotated, mirrored and recolored
 * as copies of photographs are.
 */
const photo = {
  views: 'clean-edited',
  cropMin: 0.5,
  cropMax: 1,
  rotate: 30,
  rotateP: 0.8,
  flip: 0.5,
  jitter: 0.8,
  brightness: 0.4,
  contrast: 0.4,
  saturation: 0.4,
  hue: 0.08,
  gray: 0,
  blurB: 0.2,
  solarizeB: 0,
} as const;

/**
 * Ready-made settings, to be spread under one's own: `small` for a first try, `demo` to find edited copies of emoji, `twins` to find
 * an emoji's drawing by another artist. Views for an encoder that finds edited copies: `photo`; `drawing`, whose colors change less;
 * `any-angle`, for images without an upright, as those of microscopes and from the air.
 */
export const presets = {
  small,
  demo: {
    ...small,
    ...photo,
    data: 'emoji',
    protocol: 'augmented',
    method: 'sacl_xd',
    xd: 'inner',
    lambda: 0.04,
    batch: 128,
    steps: 300,
    lr: 0.03,
    warmup: 105,
    evalEvery: 60,
  },
  twins: {
    ...small,
    data: 'emoji',
    protocol: 'paired',
    ratio: 1.5,
    method: 'sacl_xd',
    batch: 128,
    steps: 118,
    flip: 0,
    saturation: 0.4,
    blurA: 0.2,
    blurB: 0.2,
  },
  photo,
  drawing: { ...photo, brightness: 0.2, contrast: 0.2, saturation: 0.2, hue: 0.03 },
  'any-angle': { ...photo, rotate: 180, rotateP: 1 },
} as const;
