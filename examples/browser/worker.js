// Trains an encoder on images that never leave the page, off the page's own thread, and embeds them.
import { adamw, ImageEncoder, mobilenetV1, openDevice, saclXd, Trainer } from '../../dist/slimgrad.js';

/** A file's pixels, its longer side at most 128. */
async function decode(file) {
  const whole = await createImageBitmap(file);
  const share = Math.min(1, 128 / Math.max(whole.width, whole.height));
  const canvas = new OffscreenCanvas(Math.ceil(whole.width * share), Math.ceil(whole.height * share));
  const context = canvas.getContext('2d');
  context.drawImage(whole, 0, 0, canvas.width, canvas.height);
  whole.close();
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

async function train(files) {
  const images = await Promise.all(files.map(decode));
  const source = { name: 'images', length: images.length, images: 1, load: async (item) => images[item] };
  const device = await openDevice();
  try {
    const method = saclXd(mobilenetV1({ width: 0.25, ratio: 1.5, stemStride: 1 }), { projector: 256 });
    const batch = Math.min(32, images.length);
    const trainer = await Trainer.open(device, method, source, { batch, epochs: 10, optimizer: adamw, lr: 0.01 });
    for await (const { step, loss } of trainer) postMessage({ step, steps: trainer.steps, loss });
    const slim = new ImageEncoder(device, await trainer.encoder('slim'));
    const rows = await slim.embed(source);
    const row = (i) => rows.slice(i * slim.features, (i + 1) * slim.features);
    postMessage({ embeddings: images.map((_, i) => row(i)) });
  } finally {
    device.dispose();
  }
}

self.onmessage = ({ data: files }) => train(files).catch(({ message }) => postMessage({ error: message }));
