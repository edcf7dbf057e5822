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

/** Ready-made settings, to be spread under one's own: `small` for a first try, `demo` the same on emoji. */
export const presets = {
  small,
  demo: {
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
} as const;
