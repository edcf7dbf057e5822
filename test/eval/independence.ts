// What an image becomes depends on its own bytes and the settings alone: not on what lies beside it, nor on how it is kept.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backbone, type EncoderSpec } from '../../src/config/encoders.js';
import type { Tensors } from '../../src/core/state.js';
import { Loader } from '../../src/data/loader.js';
import type { ImageSource, RgbaImage } from '../../src/data/source.js';
import { ConfigError, DataError } from '../../src/errors.js';
import { imageFeed } from '../../src/eval/feed.js';
import { featuresOf } from '../../src/inference/features.js';
import { ImageEncoder } from '../../src/inference/image_encoder.js';
import { augment, defaultViews } from '../../src/ops/augment.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { numel } from '../../src/tensor/tensor.js';
import { openTestDevice } from '../device.js';
import { generator, randoms, seed } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const random = generator();
const integer = (below: number) => Math.floor(random() * below);
function image(width: number, height: number): RgbaImage {
  const pixels = new Uint8Array(width * height * 4);
  for (let i = 0; i < pixels.length; i++) pixels[i] = i % 4 === 3 ? 255 : integer(256);
  return { width, height, pixels };
}
const sourceOf = (all: readonly RgbaImage[], images: 1 | 2 = 1): ImageSource => ({
  name: 'images',
  length: all.length / images,
  images,
  load: async (item, which) => all[item * images + which],
});

/** An encoder of random weights. */
function encoderOf(spec: EncoderSpec & { imageSize: number }): ImageEncoder {
  const encoder = backbone(spec);
  const { parameters, statistics } = encoder;
  const state: Tensors = new Map(
    [
      ...parameters.map(({ name, shape }) => [name, shape] as const),
      ...statistics.map(({ name, channels }) => [name, [channels.host]] as const),
    ].map(([name, shape]) => [
      name,
      // spread around 0 where signs may differ, else all above it: variances
      { shape, data: randoms(random, numel(shape), shape.length > 1 ? 0 : 0.6, shape.length > 1 ? 0.6 : 0.4) },
    ]),
  );
  return new ImageEncoder(device, { encoder, state, imageSize: spec.imageSize });
}

const shapes = [
  [16, 16],
  [30, 1],
  [3, 90],
  [240, 8],
  [40, 31],
  [1, 1],
] as const;

for (const [spec, about] of [
  [
    {
      encoder: 'mobilenet_v1',
      imageSize: 16,
      stemStride: 1,
      blocks: [
        [64, 1],
        [128, 2],
      ],
    },
    'a last map of 8 x 8',
  ],
  [
    {
      encoder: 'mobilenet_v1',
      imageSize: 16,
      stemStride: 2,
      blocks: [
        [64, 2],
        [128, 2],
        [64, 2],
      ],
    },
    'a last map of one pixel',
  ],
  [{ encoder: 'resnet20', imageSize: 4, stemStride: 1, blocks: null }, 'a last map of one pixel'],
  [{ encoder: 'mobilenet_v3_large', imageSize: 32, stemStride: 2, blocks: null }, 'a last map of one pixel'],
] as const)
  test(`embeddings are the same alone, among 1,000 others and in another order: ${spec.encoder}, ${about}`, async () => {
    const encoder = encoderOf({ ...spec, width: 0.125, ratio: 1 });
    const F = encoder.features;
    const own = shapes.map(([width, height]) => image(width, height));
    const others = Array.from({ length: 50 }, () => image(1 + integer(60), 1 + integer(30)));
    const places = own.map((_, i) => 167 * i + integer(167));
    const many = Array.from({ length: 1000 + own.length }, () => others[integer(others.length)]);
    places.forEach((place, i) => {
      many[place] = own[i];
    });
    const together = await encoder.embed(many);
    const backwards = await encoder.embed(many.toReversed());
    assert.ok(together.every(Number.isFinite));
    const rows = new Set<string>();
    for (const [i, place] of places.entries()) {
      const alone = await encoder.embed([own[i]]);
      rows.add(alone.join());
      const what = `${own[i].width} x ${own[i].height}, seed ${seed}`;
      assert.equal(together.slice(place * F, (place + 1) * F), alone, `among others: ${what}`);
      const back = many.length - 1 - place;
      assert.equal(backwards.slice(back * F, (back + 1) * F), alone, `in another order: ${what}`);
    }
    assert.is(rows.size, own.length, 'different images have different embeddings');
    encoder.dispose();
  });

test('an image of 30 to 1 is embedded as its central square is, however wide its neighbors make a batch', async () => {
  const encoder = encoderOf({
    encoder: 'resnet20',
    width: 0.125,
    ratio: 1,
    imageSize: 16,
    stemStride: 1,
    blocks: null,
  });
  const panorama = image(30 * 16, 16);
  const left = (480 - 16) / 2;
  const square = {
    width: 16,
    height: 16,
    pixels: Uint8Array.from(
      { length: 1024 },
      (_, i) => panorama.pixels[(Math.floor(i / 64) * 480 + left) * 4 + (i % 64)],
    ),
  };
  const [a, b] = [await encoder.embed([panorama, image(2, 500)]), await encoder.embed([square])];
  assert.equal(a.slice(0, encoder.features), b, `seed ${seed}`);
  const given = { ...sourceOf([image(9, 9)]), square: async () => square };
  assert.equal(await featuresOf(device, encoder, given), b, "the source's own square");
  encoder.dispose();
});

/** Both training views of `item` in a batch of itself and all others, the last as often as there is room. */
async function viewsOf(
  source: ImageSource,
  item: number,
  batch: number,
  budget: number | undefined,
): Promise<number[]> {
  const size = 8;
  const loader = await Loader.open(device, source, { batch, budget });
  assert.is(loader.cached, budget !== 0);
  const plan = new Plan(device);
  const views = defaultViews(size).map((options, view) => augment(plan, loader, view as 0 | 1, options));
  for (const view of views) plan.retain(view);
  await plan.compile();
  const others = Array.from({ length: source.length }, (_, other) => other).filter((other) => other !== item);
  await loader.show([item, ...others]);
  plan.poison();
  plan.run({ step: 5, seed });
  const rows: number[] = [];
  for (const view of views) rows.push(...(await plan.read(view)).subarray(0, 3 * size * size));
  plan.dispose();
  loader.dispose();
  return rows;
}

for (const images of [1, 2] as const)
  test(`training views are the same whatever the neighbors, cached or streamed: ${images} image(s) an item`, async () => {
    const before = device.allocated;
    const batch = 2 ** 9; // an image's share is 65,536 pixels, or 32,768, and sides of 362, or 256
    for (const [width, height] of [
      [20, 30],
      [400, 13], // sides beyond the share
      [300, 230], // pixels beyond it
      [7, 210],
    ]) {
      const own = Array.from({ length: images }, () => image(width, height));
      const neighbors = (side: number) =>
        [side, side, 4].flatMap((most) =>
          Array.from({ length: images }, () => image(1 + integer(most), 1 + integer(most))),
        );
      const seen: number[][] = [];
      for (const [others, budget] of [
        [neighbors(20), undefined],
        [neighbors(600), undefined],
        [neighbors(600), 0],
      ] as const) {
        const all = [...others.slice(0, images), ...own, ...others.slice(images)]; // the same item number
        seen.push(await viewsOf(sourceOf(all, images), 1, batch, budget));
      }
      assert.ok(seen[0].every(Number.isFinite));
      for (const [i, rows] of seen.entries()) assert.equal(rows, seen[0], `${width} x ${height}, ${i}, seed ${seed}`);
    }
    assert.is(device.allocated, before, 'all memory is given back');
  });

test('a batch of squares that has no room for them is refused, not halved', async () => {
  const plan = new Plan(device);
  const feed = (batch: number) => imageFeed(plan, sourceOf([image(1, 1)]), { size: 1024 }, { batch, seed });
  await rejects(() => feed(33), ConfigError, /^batch: expected at most 32 images of 1024 x 1024 pixels, .* got 33/);
  await rejects(() => feed(32), DataError, /fewer than a batch of 32/);
  plan.dispose();
});

test.run();
