// The gradient of every method with respect to every tensor that it trains, against the same network in f64: along a random
// direction for each tensor, by central differences of a loss whose targets stay what they are.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { byol } from '../../src/methods/byol.js';
import { disco } from '../../src/methods/disco.js';
import type { Method } from '../../src/methods/method.js';
import { mocoV2 } from '../../src/methods/moco_v2.js';
import { Network } from '../../src/methods/network.js';
import { oss } from '../../src/methods/oss.js';
import { rekd } from '../../src/methods/rekd.js';
import { seed as seedMethod } from '../../src/methods/seed.js';
import { sslSmall } from '../../src/methods/ssl_small.js';
import type { Teacher } from '../../src/methods/teacher.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { close, upload } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, randoms, seed } from '../random.js';
import type { Lookup, Rows } from './reference.js';
import * as f64 from './reference.js';
import { blocks, encoder, makeTeacher, settings, settingsOf, wide } from './tiny.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const [N, S] = [6, 8];

/** What a loss in f64 is made of: the weights that are trained, those that are not, both views, the queue. */
interface Given {
  w: Lookup;
  average: Lookup;
  teacher: Lookup;
  a: Float64Array;
  b: Float64Array;
  queue: Rows;
}

const within =
  (w: Lookup, scope: string): Lookup =>
  (name) =>
    w(`${scope}.${name}`);
const features = (w: Lookup, x: Float64Array) => f64.mobilenet(w, x, N, blocks);
const headed = (w: Lookup, x: Float64Array, head = 'head') => f64.unit(f64.mlp(w, head, features(w, x)));
const headedTeacher = (w: Lookup, x: Float64Array, batchnorm = false) =>
  f64.unit(f64.mlp(w, 'teacher.head', features(within(w, 'teacher'), x), batchnorm));
const taughtBy = (teacher: Lookup, x: Float64Array) => f64.unit(f64.mobilenet(teacher, x, N, blocks, true));
const { temperature: tau } = settings;

/** The loss of each method as a function of the weights; its targets are made once, from the first weights. */
const losses: Record<string, (given: Given) => (w: Lookup) => number> = {
  moco_v2: ({ average, a, b, queue }) => {
    const key = headed(average, b);
    return (w) => infoNce(headed(w, a), key, queue);
  },
  byol: ({ average, a, b }) => {
    const project = (w: Lookup, x: Float64Array) =>
      f64.norm(w, 'projector.4', f64.mlp(w, 'projector', features(w, x), true));
    const [ta, tb] = [a, b].map((x) => f64.unit(project(average, x)));
    const predict = (w: Lookup, x: Float64Array) => f64.unit(f64.mlp(w, 'predictor', project(w, x), true));
    return (w) => (f64.squaredDistance(predict(w, a), tb) + f64.squaredDistance(predict(w, b), ta)) / N;
  },
  seed: ({ teacher, a, queue }) => {
    const target = taughtBy(teacher, a);
    const taught = f64.softmax(f64.similarities(target, target, queue), settings.teacherTemperature);
    return (w) => f64.crossEntropy(f64.similarities(headed(w, a, 'seed'), target, queue), taught, tau);
  },
  disco: ({ average, teacher, a, b, queue }) => {
    const key = headed(average, b);
    const [ta, tb] = [a, b].map((x) => taughtBy(teacher, x));
    const adapted = (w: Lookup, z: Rows) => f64.unit(f64.linear(z, w('adaptor.weight')));
    return (w) => {
      const [za, zb] = [headed(w, a), headed(w, b)];
      const distance = f64.squaredDistance(adapted(w, za), ta) + f64.squaredDistance(adapted(w, zb), tb);
      return infoNce(za, key, queue) + distance;
    };
  },
  rekd: ({ w: first, average, a, b, queue }) => {
    const key = headedTeacher(average, b);
    const positives = f64.nearest(f64.similarities(headedTeacher(first, a), key, queue), settings.neighbors);
    return (w) =>
      infoNce(headedTeacher(w, a), key, queue) +
      f64.crossEntropy(f64.similarities(headed(w, a), key, queue), positives, tau);
  },
  oss: ({ w: first, a, b }) => {
    const scores = (w: Lookup, x: Float64Array) =>
      f64.linear(headedTeacher(w, x, true), w('teacher.prototypes.weight'));
    const assigned = [a, b].map((x) => f64.sinkhorn(scores(first, x), settings.epsilon, settings.sinkhorn));
    const told = [a, b].map((x) => f64.softmax(scores(first, x), tau));
    return (w) => {
      const halves = [a, b].map((x, i) => {
        const z = f64.unit(f64.mlp(w, 'head', features(w, x), true));
        const own = f64.linear(z, w('prototypes.weight'));
        return f64.crossEntropy(own, told[i], tau) + f64.crossEntropy(scores(w, x), assigned[1 - i], tau);
      });
      return (halves[0] + halves[1]) / 2;
    };
  },
};

function infoNce(query: Rows, key: Rows, queue: Rows): number {
  const logits = f64.similarities(query, key, queue);
  return f64.crossEntropy(logits, f64.firstColumn(logits), tau);
}

/** Of every tensor: random values, those of batchnorm's scales around 1. */
function randomize(network: Network, random: () => number): void {
  const { parameters, average } = network;
  network.initialize(random);
  const weights = new Float32Array(parameters.size);
  for (const { name, shape, offset, length } of parameters.places) {
    const isScale = shape.length === 1 && name.endsWith('.weight');
    const values = randoms(random, length, isScale ? 1 : 0, shape.length === 1 ? 0.5 : 1.5 / Math.sqrt(shape[1] || 1));
    weights.set(values, offset);
    parameters.write(name, values);
  }
  // not the weights themselves, which a gradient that took the wrong ones could hide behind
  if (average)
    device.write(
      average,
      weights.map((value) => value * (0.8 + 0.4 * random())),
    );
}

interface Measured {
  loss: number;
  /** Loss and gradients as the GPU has them. */
  got: { loss: number; gradients: Map<string, Float32Array> };
  /** What the same weights give in f64, and others. */
  lossAt(changed?: ReadonlyMap<string, Float64Array>): number;
  names: readonly string[];
  weights: ReadonlyMap<string, Float64Array>;
}

/** One step of a method up to its gradients, on random weights, images and queue; and its loss in f64. */
async function measure(
  make: (teacher: Teacher) => Method,
  reference: (given: Given) => (w: Lookup) => number,
  random: () => number,
): Promise<Measured> {
  const teacher = makeTeacher(device, random);
  const method = make(teacher);
  const network = new Network(device, method);
  const plan = new Plan(device);
  const pixels = [0, 1].map(() => randoms(random, N * 3 * S * S, 0.2, 1.5));
  const [a, b] = pixels.map((data, i) => upload(device, 'ab'[i], [N, 3, S, S], data));
  try {
    randomize(network, random);
    const { parameters, average } = network;
    plan.clear({ storage: parameters.grads, offset: 0, bytes: parameters.size * 4 });
    const objective = method.record(new Tape(plan), network, { a: () => a, b: () => b });
    await plan.compile();
    plan.poison();
    plan.run();
    const figures: Record<string, Float32Array> = {};
    for (const [name, figure] of Object.entries(objective.metrics)) figures[name] = await plan.read(figure);
    const grads = new Float32Array(await device.read(parameters.grads));
    const cut = (from: ArrayLike<number>) =>
      new Map(
        parameters.places.map(({ name, offset, length }) => [
          name,
          Float64Array.from({ length }, (_, i) => from[offset + i]),
        ]),
      );
    const weights = cut(new Float32Array(await device.read(parameters.weights)));
    const averaged = average && cut(new Float32Array(await device.read(average)));
    const taught = new Map(
      [...(await teacher.parameters.read())].map(([name, { data }]) => [
        name.replace(/^host\./, ''),
        Float64Array.from(data),
      ]),
    );
    const untouched = new Float32Array(await device.read(teacher.parameters.grads));
    assert.ok(
      untouched.every((g) => g === 0),
      'the teacher gets no gradient',
    );
    const [queue] = await Promise.all(Object.values(network.queues).map((t) => plan.read(t)));
    const queues = Object.values(network.queues);
    const of = (map: ReadonlyMap<string, Float64Array>) => (name: string) => {
      const found = map.get(name);
      if (!found) throw new Error(`no ${name}`);
      return found;
    };
    f64.kink.distance = Number.POSITIVE_INFINITY;
    const lossOf = reference({
      w: of(weights),
      average: of(averaged ?? new Map()),
      teacher: of(taught),
      a: Float64Array.from(pixels[0]),
      b: Float64Array.from(pixels[1]),
      queue: { data: Float64Array.from(queue ?? []), D: queues[0]?.shape[1] ?? 1 },
    });
    return {
      loss: lossOf(of(weights)),
      got: {
        loss: objective.summarize(figures).loss,
        gradients: new Map(
          parameters.places.map(({ name, offset, length }) => [name, grads.subarray(offset, offset + length)]),
        ),
      },
      lossAt: (changed = new Map()) => lossOf((name) => changed.get(name) ?? of(weights)(name)),
      names: parameters.names,
      weights,
    };
  } finally {
    for (const thing of [plan, network, teacher.parameters]) thing.dispose();
    for (const each of [a, b]) device.free(each);
  }
}

const length = (values: ArrayLike<number>) => Math.sqrt(Array.from(values).reduce((sum, v) => sum + v * v, 0));

/** `still`: names of tensors that the method trains at other times only. */
function check(
  name: string,
  reference: (given: Given) => (w: Lookup) => number,
  make: (teacher: Teacher) => Method,
  isStill: (tensor: string) => boolean = () => false,
): void {
  test(`${name}: loss and gradients are those of f64`, async () => {
    const random = generator();
    let measured = await measure(make, reference, random);
    // where a ReLU stands at its kink, f32 and f64 may rightly differ
    for (let tries = 0; f64.kink.distance < 2e-5 && tries < 30; tries++)
      measured = await measure(make, reference, random);
    const { got, loss, lossAt, names, weights } = measured;
    close([got.loss], [loss], 'loss', 1e-5);
    for (const tensor of names) {
      const gradient = got.gradients.get(tensor) as Float32Array;
      const scale = length(gradient);
      if (isStill(tensor)) {
        assert.is(scale, 0, `${tensor} gets no gradient`);
        continue;
      }
      const noise = randoms(random, gradient.length, 0, 1);
      const directions = [gradient, noise];
      for (const direction of directions) {
        const size = length(direction) || 1;
        const w = weights.get(tensor) as Float64Array;
        const at = (step: number) =>
          lossAt(new Map([[tensor, w.map((value, i) => value + (step * direction[i]) / size)]]));
        const slope = (at(1e-7) - at(-1e-7)) / 2e-7; // so small that it rarely steps over a kink
        const found = gradient.reduce((sum, g, i) => sum + (g * direction[i]) / size, 0);
        const error = Math.abs(found - slope);
        assert.ok(error <= 2e-4 * scale + 2e-6, `${tensor}: slope ${found}, ${slope} in f64 (seed ${seed})`);
      }
    }
  });
}

check('moco_v2', losses.moco_v2, () => mocoV2(encoder, settingsOf.moco_v2));
check('byol', losses.byol, () => byol(encoder, settingsOf.byol));
check('seed', losses.seed, (teacher) => seedMethod(encoder, { ...settingsOf.seed, teacher }));
check('disco', losses.disco, (teacher) => disco(encoder, { ...settingsOf.disco, teacher }));
check('rekd', losses.rekd, () => rekd(encoder, wide, settingsOf.rekd));
check('oss', losses.oss, () => oss(encoder, wide, settingsOf.oss));
check('ssl_small', losses.moco_v2, () => sslSmall(encoder, settingsOf.ssl_small));

test.run();
