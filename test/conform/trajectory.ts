import { Tape } from '../../src/core/tape.js';
import type { Encoder } from '../../src/encoders/encoder.js';
import { type Block, mobilenetV1 } from '../../src/encoders/mobilenet_v1.js';
import { Network } from '../../src/methods/network.js';
import { saclXd } from '../../src/methods/sacl_xd.js';
import { lars } from '../../src/optim/lars.js';
import { sgd } from '../../src/optim/sgd.js';
import { Plan } from '../../src/runtime/plan.js';
import { numel, type Tensor } from '../../src/tensor/tensor.js';
import type { Case, Check } from './cases.js';
import { relativeError } from './cases.js';

/** |a − b| / |b|, the norms over a whole tensor. */
function normError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let difference = 0;
  let scale = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i] - b[i]) ** 2;
    scale += b[i] ** 2;
  }
  const error = Math.sqrt(difference / (scale || 1));
  return a.length === b.length && Number.isFinite(error) ? error : Number.POSITIVE_INFINITY;
}

const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));

/** The encoder of a trajectory's metadata, whose channel table it must reproduce. */
function encoderOf({ base, k, cfg, host, slim }: Readonly<Record<string, string>>): Encoder {
  const blocks = JSON.parse(cfg) as Block[];
  const encoder = mobilenetV1({ width: Number(base), ratio: Number(k), stemStride: 1, blocks });
  const { features } = encoder;
  const tables = { host: JSON.parse(host) as number[], slim: JSON.parse(slim) as number[] };
  if (features.host !== tables.host.at(-1) || features.slim !== tables.slim.at(-1))
    throw new Error(
      `expected ${tables.host.at(-1)} and ${tables.slim.at(-1)} features, got ${JSON.stringify(features)}`,
    );
  return encoder;
}

/** Several steps of SACL+XD on given views, from given weights: embeddings and gradients of step 0, the log, and the end. */
export async function trajectory(of: Case): Promise<Check[]> {
  const { device, attributes, values, shape } = of;
  const number = (name: string) => Number(attributes[name]);
  const [steps, N, C, H, W] = shape('xa');
  const method = saclXd(encoderOf(attributes), {
    projector: number('projector'),
    alpha: number('alpha'),
    lambda: number('lam'),
    scale: number('scale'),
  });
  const network = new Network(device, method);
  const { parameters } = network;
  const plan = new Plan(device);
  const disposables: { dispose(): void }[] = [network, plan];
  try {
    const views = { a: of.filled('a', [N, C, H, W]), b: of.filled('b', [N, C, H, W]) };
    plan.clear({ storage: parameters.grads, offset: 0, bytes: parameters.size * 4 });
    const objective = method.record(new Tape(plan), network, { a: () => views.a, b: () => views.b });
    const rules = { momentum: number('momentum'), weightDecay: number('wd') };
    const isLars = attributes.optimizer === 'lars';
    const optimizer = isLars
      ? lars(plan, parameters, { ...rules, trust: number('eta'), clip: JSON.parse(attributes.clip) })
      : sgd(plan, parameters, {
          ...rules,
          nesterov: JSON.parse(attributes.nesterov),
          decayAll: JSON.parse(attributes.wd_1d),
        });
    disposables.push(optimizer);

    const { embeddings: watched, frozen } = objective;
    const embeddings: [string, Tensor | undefined][] = [
      ['za', watched.zA],
      ['zb', watched.zB],
      ['za_frozen', frozen?.a],
      ['zb_frozen', frozen?.b],
    ];
    await plan.compile();
    parameters.initialize(() => 0.5);
    for (const name of parameters.names) parameters.write(name, values(`init.${name}`));

    const checks: Check[] = [];
    const pixels = N * C * H * W;
    const logs: Record<string, number[]> = { loss: [], sacl: [], xd: [] };
    plan.poison();
    for (let t = 0; t < steps; t++) {
      device.write(views.a, values('xa').subarray(t * pixels, (t + 1) * pixels));
      device.write(views.b, values('xb').subarray(t * pixels, (t + 1) * pixels));
      plan.run({ step: t, lr: number('lr') });
      const log = objective.summarize({ metrics: await plan.read(objective.metrics.metrics) });
      for (const [name, entries] of Object.entries(logs)) entries.push(log[name]);
      if (t > 0) continue;
      for (const [name, z] of embeddings) {
        if (!z) throw new Error(`the method keeps no ${name}`);
        const got = (await plan.read(z)).subarray(0, numel(z.shape));
        checks.push({ what: `z0.${name}`, error: relativeError(got, values(`z0.${name}`)), tolerance: 1e-4 });
      }
      checks.push(...(await firstGradients(of, network)));
    }

    const loose = isLars ? { log: 5e-2, final: 1e-1, stats: 2e-2 } : { log: 5e-3, final: 5e-3, stats: 5e-3 };
    for (const [name, entries] of Object.entries(logs)) {
      const reference = values(`log.${name}`);
      entries.forEach((value, t) => {
        const error = Math.abs(value - reference[t]) / Math.abs(reference[t]);
        const tolerance = t === 0 ? 1e-4 : loose.log;
        checks.push({
          what: `log.${name}[${t}]`,
          error: Number.isFinite(error) ? error : Number.POSITIVE_INFINITY,
          tolerance,
        });
      });
    }
    const end = await parameters.read();
    for (const name of parameters.names)
      checks.push({
        what: `final.${name}`,
        error: normError(end.get(name)!.data, values(`final.${name}`)),
        tolerance: loose.final,
      });
    for (const { name, channels } of network.modules.flatMap(({ statistics }) => statistics))
      for (const width of ['host', 'slim'] as const) {
        const got = end.get(`${width}.${name}`)!.data.subarray(0, channels[width]);
        checks.push({
          what: `stats.${width}.${name}`,
          error: normError(got, values(`stats.${width}.${name}`)),
          tolerance: loose.stats,
        });
      }
    return checks;
  } finally {
    for (const thing of disposables.toReversed()) thing.dispose();
  }
}

/** Gradients of the first step by norm; those that are nothing but rounding against the largest are left out. */
async function firstGradients({ device, values }: Case, { parameters }: Network): Promise<Check[]> {
  const grads = new Float32Array(await device.read(parameters.grads));
  const references = parameters.places.map(({ name }) => ({ name, reference: values(`grad0.${name}`) }));
  const largest = Math.max(...references.map(({ reference }) => norm(reference)));
  return references.flatMap(({ name, reference }, i) => {
    const { offset, length } = parameters.places[i];
    if (norm(reference) < 1e-6 * largest) return [];
    return [
      { what: `grad0.${name}`, error: normError(grads.subarray(offset, offset + length), reference), tolerance: 3e-2 },
    ];
  });
}
