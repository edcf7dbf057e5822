// An encoder of your own, trained by SACL + XD with a host 1.5 times as wide, saved, opened again, put to use and exported.
//
//   node own_encoder.ts [FOLDER]    of images; `photos` where none is named (Node 24 on)

import { writeFileSync } from 'node:fs';
import { convLayer, convBatchNorm, pooledEncoder, rgb, sequential, widthMultiplier } from 'slimgrad/node';
import { adamw, exportOnnx, openDevice, openEncoder, openImageFolder, saclXd, slimOf } from 'slimgrad/node';
import { type Encoder, type EncoderOptions, Trainer, writeEncoder } from 'slimgrad/node';

/** Four convolutions, each with batchnorm and ReLU, and the mean of the last map. */
function plainCnn(options: EncoderOptions): Encoder {
  const channels = widthMultiplier(options, Math.round); // in the slim encoder and in its host
  const widths = [rgb, ...[16, 32, 64, 64].map(channels)];
  const layers = widths.slice(1).map((output, i) => {
    const layer = convLayer(`${i}.conv`, widths[i], output, { kernelSize: 3, stride: 2 });
    return convBatchNorm(layer, `${i}.norm`, output);
  });
  return pooledEncoder(sequential(...layers), widths[4], 2 ** layers.length);
}

const device = await openDevice();
const photos = await openImageFolder(process.argv[2] ?? 'photos');
const encoder = plainCnn({ ratio: 1.5 });
const method = saclXd(encoder, { projector: 128 });
const trainer = await Trainer.open(device, method, photos, { batch: 8, epochs: 5, optimizer: adamw, lr: 0.02 });
for await (const { step, loss } of trainer) console.log(step, loss);

const bytes = writeEncoder(await trainer.encoder('slim'));
writeFileSync('slim.safetensors', bytes);
writeFileSync('own.onnx', exportOnnx(await trainer.encoder('slim')));
const slim = openEncoder(device, bytes, { encoder: slimOf(encoder) });
const embeddings = await slim.embed(photos); // (N, F), row by row
console.log(embeddings.length / slim.features, 'images,', slim.features, 'numbers each');
device.dispose();
