import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backbone } from '../../src/config/encoders.js';
import { parseConfig } from '../../src/config/settings.js';
import type { Tensors } from '../../src/core/state.js';
import { resizeSquare } from '../../src/data/resize.js';
import { ConfigError, DataError, DeviceError } from '../../src/errors.js';
import { f32, type SavedTensor, writeSafetensors } from '../../src/formats/safetensors.js';
import { ImageEncoder, openEncoder, openTorchvision } from '../../src/inference/image_encoder.js';
import type { Device } from '../../src/runtime/device.js';
import { numel } from '../../src/tensor/tensor.js';
import { openTestDevice } from '../device.js';
import { initialState } from '../made_up.js';
import { ofRun } from '../of_run.js';
import { generator, randoms } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
let state: Tensors;
const settings = { data: 'made up', imageSize: 16, width: 0.125, stemStride: 2, blocks: '64/1 128/2', projector: 8 };
const config = parseConfig(settings);
test.before(async () => {
  device = await openTestDevice();
  state = await initialState(device, config, 'slim');
});
test.after(() => device.dispose());

const random = generator();
const image = (width: number, height: number) => ({
  width,
  height,
  pixels: Uint8Array.from({ length: width * height * 4 }, () => 256 * random()),
});

test('images of any size are embedded, each by itself, none as none', async () => {
  const before = device.allocated;
  const encoder = new ImageEncoder(device, ofRun(config, state));
  assert.is((await encoder.embed([])).length, 0);
  const images = [image(1, 1), image(700, 2), image(16, 16), image(9, 31)];
  const [together, again] = await Promise.all([encoder.embed(images), encoder.embed(images)]);
  assert.equal(together, again);
  assert.is(together.length, 4 * encoder.features);
  assert.ok(together.every(Number.isFinite));
  assert.equal(await encoder.embed([images[2]]), together.slice(2 * encoder.features, 3 * encoder.features));
  encoder.dispose();
  assert.is(device.allocated, before);
});

test("images and a canvas's ImageData are embedded alike, on mid-gray where they are transparent", async () => {
  const encoder = new ImageEncoder(device, ofRun(config, state));
  const { width, height, pixels } = image(21, 18);
  const data = Uint8ClampedArray.from(pixels);
  const flat = pixels.map((value, i) => {
    const alpha = pixels[i | 3];
    return i % 4 === 3 ? 255 : Math.floor((value * alpha + 128 * (255 - alpha)) / 255);
  });
  const rows = await encoder.embed([
    { width, height, data, colorSpace: 'srgb' },
    { width, height, pixels },
  ]);
  const row = await encoder.embed([{ width, height, pixels: flat }]);
  assert.equal(rows, Float32Array.from([...row, ...row]));
  await rejects(
    () => encoder.embed([{ width, height, data, colorSpace: 'display-p3' }]),
    DataError,
    /^images: item 0: .* got colorSpace 'display-p3'; .*\{ colorSpace: 'srgb' \}/,
  );
  encoder.dispose();
});

test('what is no image is refused, and the encoder goes on', async () => {
  const encoder = new ImageEncoder(device, ofRun(config, state));
  const pixels = new Uint8Array(16);
  for (const [bad, message] of [
    [{ width: 2, height: 2, pixels: new Uint8Array(15) }, /item 0: expected a Uint8Array of 16 bytes, .* of 15/],
    [{ width: 2, height: 2, pixels: new Float32Array(16) }, /got Float32Array of 16/],
    [{ width: 2, height: 2 }, /got undefined/],
    [{ width: 0, height: 0, pixels }, /got sides 0 and 0/],
    [{ width: 1.5, height: 2, pixels }, /got sides 1.5 and 2/],
    [undefined, /got sides undefined/],
  ] as const)
    await rejects(() => encoder.embed([bad as never]), DataError, message);
  for (const bad of ['photos', undefined, 3])
    await rejects(() => encoder.embed(bad as never), ConfigError, /^embed: expected images, or a source/);
  assert.is((await encoder.embed([image(4, 4)])).length, encoder.features);
  encoder.dispose();
  await rejects(() => encoder.embed([image(4, 4)]), DeviceError, /used after it was freed/);
  await device.settled();
});

test('a file whose tensors, part or configuration do not fit is refused by its name', async () => {
  const file = (
    change: (tensors: Map<string, SavedTensor>) => void,
    metadata: Record<string, string> = {},
  ): Uint8Array => {
    const tensors = new Map([...state].map(([name, { shape, data }]) => [name, f32(shape, data)]));
    change(tensors);
    const about = { format: 'slimgrad encoder 1', part: 'slim', config: JSON.stringify(settings), ...metadata };
    return writeSafetensors(tensors, about);
  };
  const nothing = () => undefined;
  const before = device.allocated;
  openEncoder(device, file(nothing), { file: 'f' }).dispose();
  for (const [bytes, message] of [
    [file((tensors) => tensors.delete('features.0.0.weight')), /^f: .*features\.0\.0\.weight is missing/],
    [file((tensors) => tensors.set('more', f32([1], new Float32Array(1)))), /^f: .*more is not expected/],
    [file((tensors) => tensors.set('features.0.1.bias', f32([1], new Float32Array(1)))), /bias is F32 \(1\), expected/],
    [file(nothing, { part: 'middle' }), /^f: expected an encoder of slimgrad/],
    [file(nothing, { config: '{"data": 1}' }), /^f: its configuration: data \(--data\)/],
    [file(nothing, { config: JSON.stringify({ ...settings, width: 16 }) }), /^f: its tensors do not fit/],
  ] as const)
    await rejects(() => openEncoder(device, bytes, { file: 'f' }), DataError, message);
  assert.is(device.allocated, before);
});

test("a state dict of torchvision's is opened under its own names, without its classifier, and refused with all that is off", async () => {
  const options = { encoder: 'resnet18', width: 0.125, imageSize: 40 } as const;
  const spec = { ...options, ratio: 1, stemStride: 2, blocks: null };
  const encoder = backbone(spec);
  const { parameters, statistics } = encoder;
  const shapes = [
    ...parameters.map(({ name, shape }) => [name, shape] as const),
    ...statistics.map(({ name, channels }) => [name, [channels.host]] as const),
  ];
  const state: Tensors = new Map(
    shapes.map(([name, shape]) => [name, { shape, data: randoms(random, numel(shape), 0.5, 0.4) }]),
  );
  const file = (change: (tensors: Map<string, SavedTensor>) => void, metadata: Record<string, string> = {}) => {
    const tensors = new Map<string, SavedTensor>([...state].map(([name, { shape, data }]) => [name, f32(shape, data)]));
    tensors.set('fc.weight', f32([10, 64], new Float32Array(640)));
    tensors.set('fc.bias', f32([10], new Float32Array(10)));
    tensors.set('bn1.num_batches_tracked', { dtype: 'I64', shape: [], data: BigInt64Array.of(7n) });
    change(tensors);
    return writeSafetensors(tensors, metadata);
  };
  const before = device.allocated;
  const opened = openTorchvision(
    device,
    file(() => undefined),
    options,
    'f',
  );
  const plain = new ImageEncoder(device, { encoder, state, imageSize: options.imageSize });
  const images = [image(50, 40), image(31, 64)];
  const [rows, expected] = await Promise.all([opened.embed(images), plain.embed(images)]);
  assert.is(opened.features, 64);
  assert.equal(rows, expected);
  assert.ok(rows.some((value) => value !== 0));
  opened.dispose();
  plain.dispose();

  const odd = file((tensors) => {
    tensors.delete('layer1.0.conv1.weight');
    tensors.set('layer4.9.conv1.weight', f32([1], new Float32Array(1)));
    tensors.set('bn1.weight', f32([2], new Float32Array(2)));
  });
  await rejects(
    () => openTorchvision(device, odd, options, 'f'),
    DataError,
    /^f: expected the 100 tensors of resnet18 of width 0\.125; 1 missing: layer1\.0\.conv1\.weight; 1 of other shapes: bn1\.weight is \(2\), expected \(8\); 1 more than it has: layer4\.9\.conv1\.weight; its names begin with 'layer\d\.', /,
  );
  await rejects(
    () => openTorchvision(device, odd, { encoder: 'resnet50' }, 'f'),
    DataError,
    /^f: expected the 265 tensors of resnet50; \d+ missing: .*, …; \d+ of other shapes: .*another encoder \(--encoder\) or width/,
  );
  const wrapped = writeSafetensors(
    [...state].map(([name, tensor]) => [`module.encoder_q.${name}`, f32(tensor.shape, tensor.data)] as const),
  );
  await rejects(
    () => openTorchvision(device, wrapped, { ...options, prefix: 'backbone.' }, 'f'),
    DataError,
    /100 missing/,
  );
  for (const how of [options, { ...options, prefix: 'module.encoder_q.' }]) {
    const inner = openTorchvision(device, wrapped, how, 'f');
    assert.equal(await inner.embed(images), expected);
    inner.dispose();
  }
  const own = file(() => undefined, { format: 'slimgrad encoder 1' });
  await rejects(() => openTorchvision(device, own, options, 'f'), DataError, /^f: .*a file of slimgrad/);
  for (const [changed, message] of [
    [{ imageSize: 31 }, /^resnet18: expected an imageSize from 32, the encoder's stride, to 1024 pixels, got 31/],
    [{ imageSize: 40.5 }, /got 40.5/],
    [{ resize: 39 }, /^resize: expected whole pixels from 40, the side that is cut out, to 4096, got 39/],
    [{ interpolation: 'area' as 'bilinear' }, /^interpolation: expected bicubic or bilinear, got area/],
    [{ encoder: 'resnet_18' as 'resnet18' }, /^encoder: expected one of mobilenet_v1, .*, got "resnet_18"/],
    [{ width: 0 }, /^encoder: expected width above 0, got 0/],
    [{ stemStride: 4 }, /^encoder: expected stemStride 1 or 2, got 4/],
  ] as const)
    await rejects(() => openTorchvision(device, odd, { ...options, ...changed }, 'f'), ConfigError, message);
  assert.is(device.allocated, before);
});

test('images are resized as torchvision is told to, by the source itself where it can', async () => {
  const options = { encoder: 'resnet18', width: 0.125, imageSize: 32 } as const;
  const { parameters, statistics } = backbone({ ...options, ratio: 1, stemStride: 2, blocks: null });
  const file = writeSafetensors([
    ...parameters.map(({ name, shape }) => [name, f32(shape, randoms(random, numel(shape), 0.1, 0.4))] as const),
    ...statistics.map(({ name, channels: { host } }) => [name, f32([host], randoms(random, host, 0.5, 0.4))] as const),
  ]);
  const how = { resize: 36, interpolation: 'bilinear' } as const;
  const [plain, told] = [openTorchvision(device, file, options), openTorchvision(device, file, { ...options, ...how })];
  const images = [image(70, 50), image(33, 90)];
  for (const { pixels } of images) for (let alpha = 3; alpha < pixels.length; alpha += 4) pixels[alpha] = 255;
  const made = images.map((each) => resizeSquare(each, 32, undefined, undefined, how));
  const rows = await told.embed(images);
  assert.equal(rows, await plain.embed(made));
  assert.not.equal(rows, await plain.embed(images));
  const asked: unknown[] = [];
  const load = async () => image(40, 40);
  const square = async (item: number, ...rest: unknown[]) => {
    asked.push(rest);
    return made[item];
  };
  assert.equal(await told.embed({ name: 'own', length: 2, images: 1, load, square }), rows);
  assert.equal(asked, [
    [0, 32, how],
    [0, 32, how],
  ]);
  await plain.recalibrate(made);
  await told.recalibrate(images);
  assert.equal(await told.state(), await plain.state());
  for (const used of [plain, told]) used.dispose();
});

test.run();
