// Trains in a worker, and keeps a checkpoint in the browser every few steps; goes on from one that is there.
import { adamw, mobilenetV1, openDevice, saclXd, Trainer } from '../../dist/slimgrad.js';
import { load, save } from './checkpoint_file.js';

const side = 32;
const every = 10; // steps from one checkpoint to the next

/** Images that are the same after a reload: here stripes made by arithmetic; put yours in OPFS as well, or fetch them. */
const source = {
  name: 'stripes',
  length: 32,
  images: 1,
  load: async (item) => {
    const stripe = (at, c) =>
      127 * (1 + Math.sin((at % side) / (2 + (item % 7)) + (Math.floor(at / side) * c) / 9 + item));
    const pixels = Uint8Array.from({ length: side * side * 4 }, (_, i) => (i % 4 === 3 ? 255 : stripe(i >> 2, i % 4)));
    return { width: side, height: side, pixels };
  },
};

async function train() {
  const device = await openDevice();
  try {
    const method = saclXd(mobilenetV1({ width: 0.25, ratio: 1.5, stemStride: 1, blocks: [[64, 2]] }), {
      projector: 64,
    });
    const options = { batch: 16, steps: 60, optimizer: adamw, lr: 0.01 };
    const resume = await load('run.safetensors');
    const trainer = await Trainer.open(device, method, source, { ...options, ...(resume && { resume }) });
    const resumed = trainer.step;
    for await (const { step } of trainer) {
      if (step % every === 0) await save('run.safetensors', await trainer.checkpoint());
      postMessage({ resumed, step, steps: trainer.steps });
    }
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', await trainer.checkpoint()));
    postMessage({ resumed, digest: Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('') });
  } finally {
    device.dispose();
  }
}

train().catch(({ message }) => postMessage({ error: message }));
