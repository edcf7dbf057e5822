import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { nearest } from '../../src/checks/nearest.js';
import { freeKeys } from '../../src/config/free.js';
import { optimizers } from '../../src/config/kinds.js';
import { methodNames } from '../../src/config/methods.js';
import { presets } from '../../src/config/presets.js';
import { viewsOf } from '../../src/config/run.js';
import {
  changeSettings,
  flagOf,
  parseConfig,
  settingFlags,
  settingKeys,
  type TrainConfig,
  usedKeys,
  withPreset,
} from '../../src/config/settings.js';
import { ConfigError } from '../../src/errors.js';
import { cleanView } from '../../src/ops/augment.js';
import { scheduleOf } from '../../src/train/schedule.js';
import { seed } from '../random.js';

/** Fails unless `raw` is refused with a message that holds every one of `parts`. */
function refused(raw: unknown, ...parts: string[]): void {
  try {
    parseConfig(raw);
  } catch (error) {
    assert.instance(error, ConfigError);
    for (const part of parts)
      assert.ok((error as Error).message.includes(part), `'${part}' in: ${(error as Error).message}`);
    return;
  }
  assert.unreachable(`accepted ${JSON.stringify(raw)}`);
}

test('defaults are the small-image recipe', () => {
  const config = parseConfig({ data: 'photos' });
  assert.is(config.method, 'sacl_xd');
  assert.is(config.ratio, 1.5);
  assert.is(config.alpha, 0.95);
  assert.is(config.lambda, 0.0051);
  assert.is(config.scale, 196 / 2048);
  assert.equal([config.optimizer, config.lr, config.trust, config.clip], ['lars', 0.3, 0.02, true]);
  assert.equal([config.epochs, config.steps, config.batch], [100, null, 256]);
  assert.equal([config.stemStride, config.blurA, config.blurB], [1, 0, 0]);
  assert.equal([config.cropMin, config.cropMax, config.protocol], [0.08, 1, 'augmented']);
  assert.is(config.out, 'runs/photos-sacl_xd-0');
});

test('computed defaults follow what is given', () => {
  const large = parseConfig({ data: '/a/b/c/', imageSize: 224, projector: 4096, optimizer: 'sgd', method: 'xd' });
  assert.equal([large.stemStride, large.blurA, large.blurB], [2, 1, 0.1]);
  assert.equal([large.scale, large.lr, large.ratio, large.decayAll], [196 / 4096, 0.005, 1, true]);
  assert.is(large.out, 'runs/c-xd-0');
  assert.is(parseConfig({ data: 'cifar10:/x/y', method: 'sacl' }).alpha, 1);
  assert.is(parseConfig({ data: 'cifar10:/x/y' }).out, 'runs/cifar10-sacl_xd-0');
  assert.is(parseConfig({ data: 'emoji' }).protocol, 'paired');
});

test('a configuration is frozen and survives JSON', () => {
  const values: Record<string, fc.Arbitrary<unknown>> = {
    width: fc.double({ min: 0.04, max: 4, noNaN: true }),
    method: fc.constantFrom('sacl_xd', 'sacl', 'xd', 'barlow_twins', 'moco_v2', 'byol', 'ssl_small', 'rekd', 'oss'),
    optimizer: fc.constantFrom('sgd', 'adamw', 'lars'),
    imageSize: fc.integer({ min: 64, max: 256 }),
    blocks: fc.constantFrom('64/1 128/2', [[64, 1]], null),
    scale: fc.option(fc.double({ min: 1e-6, max: 10, noNaN: true })),
    steps: fc.option(fc.integer({ min: 1, max: 1000 })),
    batch: fc.integer({ min: 2, max: 512 }),
    seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    resume: fc.boolean(),
  };
  const hasScale = [undefined, 'sacl_xd', 'sacl', 'xd', 'barlow_twins'];
  const given = fc
    .record(values, { requiredKeys: [] })
    .map(({ scale, ...v }) => ({ data: 'emoji', ...v, ...(hasScale.includes(v.method as string) && { scale }) }));
  fc.assert(
    fc.property(given, (raw) => {
      const config = parseConfig(raw);
      assert.ok(Object.isFrozen(config));
      assert.equal(Object.keys(config), settingKeys);
      assert.equal(parseConfig(JSON.parse(JSON.stringify(config))), config);
      assert.equal(parseConfig(config), config);
    }),
  );
});

test('any single value gives a configuration or a ConfigError', () => {
  const value = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom(Number.NaN, Infinity, -0, 1e308, undefined, [], {}, '', '64/1'),
  );
  fc.assert(
    fc.property(fc.constantFrom(...settingKeys), value, (key, v) => {
      try {
        assert.ok(parseConfig({ data: 'photos', [key]: v }).data);
      } catch (error) {
        assert.instance(error, ConfigError, String(error));
        assert.match((error as Error).message, key);
      }
    }),
    { numRuns: 2000, seed },
  );
});

test('blocks come as text or pairs', () => {
  const expected = [
    [64, 1],
    [128, 2],
  ];
  assert.equal(parseConfig({ data: 'emoji', blocks: '64/1 128/2' }).blocks, expected);
  assert.equal(parseConfig({ data: 'emoji', blocks: ' 64/1,128/2 ' }).blocks, expected);
  assert.equal(parseConfig({ data: 'emoji', blocks: expected }).blocks, expected);
  for (const blocks of ['64', '64/3', '0/1', '64/1 x', [], [[64]], [['64', 1]], 7]) {
    refused({ data: 'emoji', blocks }, 'blocks (--blocks)', 'CHANNELS/STRIDE');
  }
});

test('unknown keys are refused with the nearest name', () => {
  refused({ data: 'emoji', widht: 1 }, "unknown setting 'widht'", "did you mean 'width'?");
  refused({ data: 'emoji', 'weight-decay': 1 }, "did you mean 'weightDecay'?");
  refused({ data: 'emoji', zzzzzzzz: 1 }, "unknown setting 'zzzzzzzz'", 'expected one of data, ');
  refused({ data: 'emoji', constructor: 1 }, "unknown setting 'constructor'");
  refused(JSON.parse('{"data": "emoji", "__proto__": {"seed": 3}}'), "unknown setting '__proto__'");
});

test('wrong types, ranges and choices are refused with what was expected and what came', () => {
  refused(null, 'expected an object', 'got null');
  refused([1], 'expected an object');
  refused({}, 'data (--data) is required', 'emoji');
  refused({ data: '  ' }, 'data (--data)', 'non-empty');
  refused({ data: 'emoji', batch: 1 }, 'batch (--batch): expected a whole number from 2', 'got 1', 'Batchnorm');
  refused({ data: 'emoji', batch: '64' }, 'got "64"');
  refused(
    { data: 'emoji', ratio: 0.5 },
    'ratio (--ratio): expected a number from 1 to 16, got 0.5',
    'slice of the host',
  );
  refused({ data: 'emoji', alpha: 1.01 }, 'alpha (--alpha): expected a number from 0 to 1, got 1.01');
  refused({ data: 'emoji', lr: Number.NaN }, 'lr (--lr)', 'got NaN');
  refused({ data: 'emoji', momentum: 1 }, 'of at least 0 and below 1', 'got 1');
  refused({ data: 'emoji', seed: 2 ** 32 }, 'seed (--seed)');
  refused({ data: 'emoji', resume: 'yes' }, 'expected true or false, got "yes"');
  refused({ data: 'emoji', method: 'sacl-xd' }, "Did you mean 'sacl_xd'?");
  for (const batch of ['ten', 'x', '16'])
    assert.throws(
      () => parseConfig({ data: 'emoji', batch }),
      (error: Error) => !error.message.includes('Did you mean'),
    );
  refused(
    { data: 'emoji', encoder: 'resnet' },
    'encoder (--encoder): expected one of mobilenet_v1',
    "Did you mean 'resnet18'?",
  );
  refused({ data: 'emoji', width: 0.01 }, 'width (--width)', 'got 0.01');
});

test('every method has its own defaults', () => {
  const of = (method: string, more = {}) => parseConfig({ data: 'photos', method, width: 0.25, ...more });
  const moco = of('moco_v2');
  assert.equal([moco.projector, moco.embedding, moco.temperature, moco.ema, moco.queue], [256, 128, 0.2, 0.999, 4096]);
  assert.equal([moco.ratio, moco.alpha, moco.teacher, moco.init], [1, 1, null, null]);
  assert.is(of('moco_v2', { imageSize: 224 }).queue, 65536);
  const byol = of('byol');
  assert.equal([byol.projector, byol.embedding, byol.ema], [4096, 256, 0.996]);
  const small = of('ssl_small', { init: 'runs/a' });
  assert.equal([small.temperature, small.projector, small.init], [0.1, 512, 'runs/a']);
  assert.equal([small.brightness, small.contrast, small.saturation, small.hue], [0.8, 0.8, 0.8, 0.2]);
  const seed = of('seed', { teacher: 'runs/a' });
  assert.equal([seed.temperature, seed.teacherTemperature, seed.projector], [0.2, 0.01, 256]);
  assert.is(of('disco', { teacher: 'runs/a' }).projector, 2048);
  assert.equal([of('rekd').ratio, of('rekd').neighbors], [1.5, 5]);
  const oss = of('oss');
  assert.equal([oss.ratio, oss.prototypes, oss.epsilon, oss.sinkhorn, oss.temperature], [1.5, 300, 0.05, 3, 0.1]);
  assert.ok(usedKeys(moco).includes('queue') && !usedKeys(moco).includes('lambda'));
  assert.not.ok(usedKeys(parseConfig({ data: 'photos' })).includes('queue'));
});

test('settings that contradict each other are refused with the remedy', () => {
  refused({ data: 'emoji', method: 'xd', ratio: 1.5 }, 'host is its slim encoder', '--method sacl_xd');
  refused({ data: 'emoji', method: 'xd', bn: 'private' }, 'bn (--bn): only valid with method', 'is no slice');
  refused({ data: 'emoji', method: 'barlow_twins', ratio: 2 }, 'ratio (--ratio): expected 1');
  refused(
    { data: 'emoji', method: 'sacl', alpha: 0.9 },
    'alpha (--alpha): only valid with method (--method) sacl_xd or xd',
    'choose sacl_xd',
  );
  refused({ data: 'emoji', method: 'barlow_twins', alpha: 0.9 }, 'sacl_xd or xd');
  refused({ data: 'emoji', method: 'moco_v2', ratio: 1.5 }, 'ratio (--ratio): expected 1 with method moco_v2');
  refused({ data: 'emoji', method: 'moco_v2', lambda: 0.1 }, 'lambda (--lambda): only valid with method', 'xd');
  refused({ data: 'emoji', queue: 100 }, 'queue (--queue): only valid with method', 'moco_v2', 'sacl_xd');
  refused({ data: 'emoji', method: 'seed' }, 'teacher (--teacher): required by method seed', 'slim.safetensors');
  refused({ data: 'emoji', method: 'xd', teacher: 'runs/a' }, 'teacher (--teacher): only valid with', 'seed');
  refused(
    { data: 'emoji', method: 'ssl_small', teacher: 'runs/a' },
    'teacher (--teacher): only valid with method (--method) seed or disco',
    'give its run as --init',
  );
  refused(
    { data: 'emoji', method: 'moco_v2', queue: 100 },
    'queue (--queue): expected at least the batch, 256',
    'got 100',
  );
  refused({ data: 'emoji', method: 'rekd', batch: 4, queue: 4, neighbors: 5 }, 'neighbors', 'at most the queue, 4');
  refused({ data: 'emoji', epochs: 1, steps: 1 }, 'expected epochs or steps', 'Leave one out');
  refused({ data: 'emoji', steps: 10, warmup: 11 }, "at most the run's 10 steps, got 11");
  refused({ data: 'emoji', cropMin: 0.9, cropMax: 0.5 }, 'at most cropMax, 0.5, got 0.9');
  refused({ data: 'photos', protocol: 'paired' }, 'only the emoji have');
  refused({ data: 'emoji', optimizer: 'sgd', trust: 0.5 }, 'trust (--lars-trust): only valid with', 'lars', 'sgd');
  refused({ data: 'emoji', optimizer: 'lars', decayAll: true }, 'decayAll (--decay-all)', 'two or more dimensions');
  refused({ data: 'emoji', nesterov: true }, 'choose sgd');
  refused({ data: 'emoji', imageSize: 8 }, "the encoder's total stride, 16, got 8");
  refused({ data: 'emoji', imageSize: 8, blocks: '8/2 8/2 8/2 8/2' }, 'total stride, 16');
  assert.is(parseConfig({ data: 'emoji', imageSize: 8, blocks: '8/2 8/2' }).imageSize, 8);
});

test('the schedule follows images, batch and epochs', () => {
  const config = parseConfig({ data: 'emoji', epochs: 40, batch: 128 });
  const photos = (length: number) => ({ name: 'photos', length });
  assert.equal(scheduleOf(config, photos(1525)), { steps: 440, stepsPerEpoch: 11, warmup: 44, peak: 0.15 });
  assert.is(scheduleOf(parseConfig({ data: 'emoji', epochs: 1000, batch: 128 }), photos(1525)).warmup, 110);
  assert.equal(scheduleOf(parseConfig({ data: 'emoji', steps: 7 }), photos(999)).steps, 7);
  assert.is(scheduleOf(parseConfig({ data: 'emoji', steps: 70, warmup: 3 }), photos(999)).warmup, 3);
  assert.throws(
    () => scheduleOf(config, photos(127)),
    (e: Error) => e instanceof ConfigError && /at most the 127 training images of "photos"/.test(e.message),
  );
  const late = parseConfig({ data: 'emoji', epochs: 1, batch: 500, warmup: 9 });
  assert.throws(
    () => scheduleOf(late, photos(1000)),
    (e: Error) => e instanceof ConfigError && /run's 2 steps, got 9/.test(e.message),
  );
});

test('presets parse, and what is given on top wins', () => {
  const demo: TrainConfig = parseConfig(presets.demo);
  assert.equal(
    [demo.data, demo.protocol, demo.method, demo.xd, demo.views, demo.steps, demo.batch],
    ['emoji', 'augmented', 'sacl_xd', 'inner', 'clean-edited', 300, 128],
  );
  assert.is(demo.blocks?.length, 4);
  const twins = parseConfig(presets.twins);
  assert.equal([twins.protocol, twins.method, twins.views, twins.steps], ['paired', 'sacl_xd', 'both', 118]);
  assert.is(parseConfig({ ...presets.demo, alpha: 0.95 }).alpha, 0.95);
});

test('a preset gives way to what stands beside it, and to what it means nothing with', () => {
  const given = (changes: Record<string, unknown>) => parseConfig(withPreset('small', { data: 'photos', ...changes }));
  const small = given({});
  assert.equal([small.alpha, small.lr, small.optimizer, small.ratio, small.epochs], [0.5, 0.005, 'sgd', 1.5, 100]);
  assert.equal([given({ alpha: 0.9 }).alpha, given({ steps: 7 }).steps], [0.9, 7]);
  for (const method of methodNames.filter((name) => !['seed', 'disco'].includes(name))) given({ method });
  assert.equal([given({ method: 'xd' }).alpha, given({ method: 'barlow_twins' }).alpha], [0.5, 1]);
  for (const optimizer of optimizers) given({ optimizer });
  assert.is(given({ optimizer: 'adamw' }).lr, 0.002);
  assert.is(given({ encoder: 'resnet20', width: 1 }).blocks, null);
  assert.equal(parseConfig(withPreset('demo', {})), parseConfig(presets.demo));
  assert.throws(
    () => withPreset('smal', {}),
    (error: Error) => error instanceof ConfigError && /unknown preset 'smal'.*'small'/.test(error.message),
  );
});

test('views: rotation, a clean view A and their presets', () => {
  const of = (raw: object) => viewsOf(parseConfig({ data: 'photos', ...raw }));
  for (const view of of({}))
    assert.not.ok('rotate' in view, 'without rotation, views are what they are without the setting');
  for (const view of of({ rotate: 30 })) assert.equal(view.rotate, { p: 0.8, degrees: 30 });
  for (const view of of({ rotate: 180, rotateP: 1 })) assert.equal(view.rotate, { p: 1, degrees: 180 });
  assert.equal(of({ rotate: 30, rotateP: 0 }), of({}));
  const [, edited] = of({ rotate: 30 });
  assert.equal(of({ rotate: 30, views: 'clean-edited' }), [cleanView(32), edited]);

  refused({ data: 'photos', rotate: 181 }, 'rotate (--rotate): expected a number from 0 to 180, got 181');
  refused({ data: 'photos', rotate: -1 }, 'rotate (--rotate)');
  refused({ data: 'photos', rotate: 30, rotateP: 1.1 }, 'rotateP (--rotate-p)', 'got 1.1');
  refused({ data: 'photos', rotateP: 0.5 }, 'rotateP (--rotate-p): only valid with --rotate above 0, got 0.5');
  refused({ data: 'photos', views: 'clean' }, 'views (--views): expected one of both, clean-edited, got "clean"');
  for (const key of ['blurA', 'solarizeA'])
    refused({ data: 'photos', views: 'clean-edited', [key]: 0.5 }, `only valid with views (--views) both, got 0.5`);

  const preset = (name: string, more = {}) => parseConfig(withPreset(name, { data: 'photos', ...more }));
  const photo = preset('small,photo');
  assert.equal([photo.width, photo.cropMin, photo.views, photo.rotate], [0.25, 0.5, 'clean-edited', 30]);
  assert.is(preset('photo,small').cropMin, 0.3, 'a later one wins');
  assert.ok(preset('drawing').hue < photo.hue && preset('drawing').brightness < photo.brightness);
  assert.equal([preset('any-angle').rotate, preset('any-angle').rotateP], [180, 1]);
  assert.equal(parseConfig({ ...presets.photo, data: 'photos' }), preset('photo'));
  preset('demo,photo', { data: 'emoji' }); // whose blur of view A means nothing then
  assert.is(preset('photo', { views: 'both', blurA: 0.5 }).blurA, 0.5);
  assert.throws(
    () => withPreset('small,phto', {}),
    (error: Error) => error instanceof ConfigError && /unknown preset 'phto'.*'photo'/.test(error.message),
  );
  const run = JSON.parse(JSON.stringify(photo));
  assert.equal(
    viewsOf(parseConfig(changeSettings(run, { views: 'both', rotate: 0, rotateP: 0 })))[1].rotate,
    undefined,
  );
});

test('what follows from other settings follows anew where a run is changed', () => {
  const run = JSON.parse(JSON.stringify(parseConfig({ data: 'photos', epochs: 7, projector: 512, alpha: 0.9 })));
  delete run.out;
  const changed = (changes: Record<string, unknown>) => parseConfig(changeSettings(run, changes));
  assert.equal(changed({}), parseConfig(run));
  assert.equal(changed({ resume: true, out: 'x' }), parseConfig({ ...run, resume: true, out: 'x' }));
  const adamw = changed({ optimizer: 'adamw' });
  assert.equal([adamw.lr, adamw.projector, adamw.alpha, adamw.epochs], [0.002, 512, 0.9, 7]);
  const alone = changed({ method: 'xd' });
  assert.equal([alone.ratio, alone.scale, alone.alpha], [1, 196 / 512, 0.9]);
  const large = changed({ imageSize: 224 });
  assert.equal([large.stemStride, large.blurA], [2, 1]);
  assert.equal([changed({ steps: 500 }).steps, changed({ steps: 500 }).epochs], [500, null]);
  assert.equal([changed({ epochs: 3 }).steps, changed({ epochs: 3 }).epochs], [null, 3]);
  // written by hand, all that it says was meant
  const own = { data: 'photos', lr: 0.3, steps: 9 };
  assert.is(parseConfig(changeSettings(own, { optimizer: 'adamw' })).lr, 0.3);
  assert.is(parseConfig(changeSettings(own, { epochs: 3 })).steps, null);
});

test('every setting has a flag, a doc and a printed default', () => {
  const flags = settingFlags();
  assert.equal(flags.map((f) => f.key).sort(), [...settingKeys].sort());
  for (const { key, flag, doc, default: standard } of flags) {
    assert.match(flag, /^--[a-z0-9]+(-[a-z0-9]+)*$/);
    assert.is(flag, flagOf(key));
    assert.ok(doc.length > 0 && doc.length < 76, `${key}: doc of ${doc.length} characters`);
    assert.not.match(standard ?? '', /=>|function|Symbol|null/, key);
  }
  const named =
    '--data --encoder --width --ratio --method --alpha --lambda --loss-scale --projector --optimizer --lr --epochs';
  const more = '--steps --batch --seed --checkpoint-every --out --resume';
  for (const flag of `${named} ${more}`.split(' '))
    assert.ok(
      flags.some((f) => f.flag === flag),
      flag,
    );
  assert.equal(
    [...freeKeys],
    ['maxBad', 'checkpointEvery', 'evalEvery', 'out', 'recompute', 'tune', 'tensorboard', 'resume', 'acceptData'],
  );
});

test('used settings leave out what belongs to other optimizers', () => {
  const used = usedKeys(parseConfig({ data: 'emoji', optimizer: 'sgd', steps: 9 }));
  for (const key of ['nesterov', 'momentum', 'steps', 'lr'] as const) assert.ok(used.includes(key), key);
  for (const key of ['trust', 'clip', 'beta1', 'eps', 'epochs', 'resume'] as const)
    assert.not.ok(used.includes(key), key);
});

test('nearest finds slips of the finger and nothing far', () => {
  assert.is(nearest('ephocs', ['steps', 'epochs']), 'epochs');
  assert.is(nearest('--check-point-every', ['--checkpoint-every', '--epochs']), '--checkpoint-every');
  assert.is(nearest('barlow-twins', ['sacl', 'barlow_twins']), 'barlow_twins');
  assert.is(nearest('qqqqqq', ['epochs', 'steps']), undefined);
});

test.run();
