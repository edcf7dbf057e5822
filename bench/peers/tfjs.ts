// TensorFlow.js computes on (N, H, W, C) with filters (K, K, I, O); transposed here, outside all timing.
import * as tfjs from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-core/dist/register_all_gradients.js';
import '@tensorflow/tfjs-core/dist/public/chained_ops/register_all_chained_ops.js';
import { allWeightShapes, type Case, eps, type Layer, lambda, lr, momentum, type Values } from './cases.js';
import { type Loaded, serve } from './side.js';

type Tensors = Record<string, tfjs.Tensor>;

await serve(async (c, values, { wait }) => {
  // it registers itself where it finds navigator.gpu while it is loaded
  const webgpu = await import('@tensorflow/tfjs-backend-webgpu');
  await tfjs.setBackend('webgpu');
  await tfjs.ready();
  const backend = tfjs.backend() as InstanceType<typeof webgpu.WebGPUBackend>;
  const settled = () => {
    // it submits every 15 dispatches; what is left over is flushed here, as a read would
    backend.endComputePassEncoder();
    backend.ensureCommandEncoderReady();
    backend.submitQueue();
    return wait<undefined>(backend.device.queue.onSubmittedWorkDone());
  };
  return (c.kind === 'step' ? loadStep : loadOp)(c, values, settled);
});

function load(c: Case, values: Values) {
  const input = (name: string, shape: readonly number[]) => theirs(tfjs.tensor(values[name], [...shape]), false);
  const weights: Tensors = {};
  for (const [name, shape] of Object.entries(allWeightShapes(c)))
    weights[name] = theirs(tfjs.tensor(values[name], [...shape]), true);
  return { input, weights };
}

/** Planes to the end; a filter (O, I, K, K) to (K, K, I, O), which also does for a depthwise one's (C, 1, K, K). */
function theirs(x: tfjs.Tensor, filter: boolean): tfjs.Tensor {
  if (x.rank !== 4) return filter && x.rank === 2 ? tfjs.transpose(x) : x;
  return tfjs.transpose(x, filter ? [2, 3, 1, 0] : [0, 2, 3, 1]);
}

async function canonical(x: tfjs.Tensor, filter: boolean): Promise<Float32Array<ArrayBuffer>> {
  const back = x.rank === 4 ? tfjs.transpose(x, filter ? [3, 2, 0, 1] : [0, 3, 1, 2]) : theirs(x, filter);
  return (await back.data()) as Float32Array<ArrayBuffer>;
}

function apply(layer: Layer, x: tfjs.Tensor, weights: Tensors): tfjs.Tensor {
  if (layer.kind === 'pool') return tfjs.mean(x, [1, 2]);
  const weight = weights[`${layer.name}.weight`];
  const bias = weights[`${layer.name}.bias`];
  switch (layer.kind) {
    case 'conv':
      return tfjs.conv2d(x as tfjs.Tensor4D, weight as tfjs.Tensor4D, layer.S, layer.K >> 1);
    case 'depthwise': {
      // (K, K, 1, C) and (K, K, C, 1) lie alike
      const filter = tfjs.reshape(weight, [layer.K, layer.K, layer.C, 1]) as tfjs.Tensor4D;
      return tfjs.depthwiseConv2d(x as tfjs.Tensor4D, filter, layer.S, layer.K >> 1);
    }
    case 'dense':
      return tfjs.add(tfjs.matMul(x as tfjs.Tensor2D, weight as tfjs.Tensor2D), bias);
    case 'norm': {
      const { mean, variance } = tfjs.moments(x, x.rank === 4 ? [0, 1, 2] : [0]);
      const y = tfjs.batchNorm(
        x,
        mean as tfjs.Tensor1D,
        variance as tfjs.Tensor1D,
        bias as tfjs.Tensor1D,
        weight as tfjs.Tensor1D,
        eps,
      );
      return layer.relu ? tfjs.relu(y) : y;
    }
  }
}

/** Σ (C_ii − 1)² + λ Σ C_ij², with the diagonal taken from the columns, which spares two passes over C. */
function barlowTwins(za: tfjs.Tensor, zb: tfjs.Tensor): tfjs.Scalar {
  const [N] = za.shape;
  const standardize = (z: tfjs.Tensor) => {
    const { mean, variance } = tfjs.moments(z, 0);
    return tfjs.div(tfjs.sub(z, mean), tfjs.sqrt(tfjs.add(variance, eps))) as tfjs.Tensor2D;
  };
  const [a, b] = [standardize(za), standardize(zb)];
  const all = tfjs.sum(tfjs.square(tfjs.div(tfjs.matMul(a, b, true), N)));
  const diagonal = tfjs.mean(tfjs.mul(a, b), 0);
  const on = tfjs.sum(tfjs.square(tfjs.sub(diagonal, 1)));
  const off = tfjs.sub(all, tfjs.sum(tfjs.square(diagonal)));
  return tfjs.add(on, tfjs.mul(off, lambda)) as tfjs.Scalar;
}

async function loadOp(c: Case, values: Values, settled: () => Promise<void>): Promise<Loaded> {
  const { input, weights } = load(c, values);
  const names = [...(c.kind === 'loss' ? ['za', 'zb'] : ['x']), ...Object.keys(weights)];
  const args = names.map((name) => weights[name] ?? input(name, c.shape));
  const compute = (...given: tfjs.Tensor[]): tfjs.Tensor =>
    c.kind === 'loss'
      ? barlowTwins(given[0], given[1])
      : apply(c.layers[0], given[0], Object.fromEntries(names.map((name, i) => [name, given[i]])));
  const shape = tfjs.tidy(() => compute(...args)).shape;
  const dy = c.kind === 'loss' ? undefined : theirs(tfjs.tensor(values.dy, nchw(shape)), false);
  const differentiate = tfjs.valueAndGrads(compute);
  let last: { value: tfjs.Tensor; grads: tfjs.Tensor[] } | undefined;
  return {
    async run(pass) {
      if (last) tfjs.dispose([last.value, ...last.grads]);
      last = undefined;
      const y = pass === 'forward' ? tfjs.tidy(() => compute(...args)) : undefined;
      if (!y) last = differentiate(args, dy);
      await settled();
      y?.dispose();
    },
    async outputs() {
      if (!last) throw new Error('nothing was run');
      const read: Values = { [c.kind === 'loss' ? 'loss' : 'y']: await canonical(last.value, false) };
      for (const [i, name] of names.entries()) read[`d${name}`] = await canonical(last.grads[i], name in weights);
      return read;
    },
  };
}

function nchw(shape: number[]): number[] {
  return shape.length === 4 ? [shape[0], shape[3], shape[1], shape[2]] : shape;
}

async function loadStep(c: Case, values: Values, settled: () => Promise<void>): Promise<Loaded> {
  const { input, weights } = load(c, values);
  const [xa, xb] = [input('xa', c.shape), input('xb', c.shape)];
  const variables = Object.fromEntries(
    Object.entries(weights).map(([name, weight]) => [name, tfjs.variable(weight, true, name)]),
  );
  const embed = (x: tfjs.Tensor) => c.layers.reduce((y, layer) => apply(layer, y, variables), x);
  const optimizer = tfjs.train.momentum(lr, momentum);
  let loss: tfjs.Scalar | null = null;
  return {
    async run() {
      loss?.dispose();
      loss = optimizer.minimize(() => barlowTwins(embed(xa), embed(xb)), true);
      await settled();
    },
    async outputs() {
      const read: Values = { loss: (await loss?.data()) as Float32Array<ArrayBuffer> };
      for (const [name, variable] of Object.entries(variables)) read[name] = await canonical(variable, true);
      return read;
    },
  };
}
