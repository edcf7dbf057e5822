// jax-js counts references: an array that is passed on is gone, unless `.ref` is passed. A pass is one `jit`.
import { blockUntilReady, defaultDevice, init, jit, lax, nn, numpy as np, tree, valueAndGrad, vjp } from '@jax-js/jax';
import { allWeightShapes, type Case, eps, type Layer, lambda, lr, momentum, type Values } from './cases.js';
import { type Loaded, serve, type Wait } from './side.js';

type Weights = Record<string, np.Array>;

await serve(async (c, values, { wait }) => {
  const devices = await init('webgpu');
  if (!devices.includes('webgpu')) throw new Error('jax-js opens no WebGPU device');
  defaultDevice('webgpu');
  return (c.kind === 'step' ? loadStep : loadOp)(c, values, wait);
});

function array(data: Float32Array<ArrayBuffer>, shape: readonly number[]): np.Array {
  return np.array(data, { shape: [...shape] });
}

function loadWeights(c: Case, values: Values): Weights {
  return Object.fromEntries(
    Object.entries(allWeightShapes(c)).map(([name, shape]) => [name, array(values[name], shape)]),
  );
}

function apply(layer: Layer, x: np.Array, weights: Weights): np.Array {
  if (layer.kind === 'pool') return np.mean(x, [2, 3]);
  const weight = weights[`${layer.name}.weight`].ref;
  switch (layer.kind) {
    case 'conv':
    case 'depthwise': {
      const { S, K } = layer;
      const padding: [number, number] = [K >> 1, K >> 1];
      const featureGroupCount = layer.kind === 'depthwise' ? layer.C : 1;
      return lax.convGeneralDilated(x, weight, [S, S], [padding, padding], { featureGroupCount });
    }
    case 'dense':
      return np.matmul(x, np.transpose(weight)).add(weights[`${layer.name}.bias`].ref);
    case 'norm': {
      const axes = x.ndim === 4 ? [0, 2, 3] : [0];
      const along = x.ndim === 4 ? [1, layer.C, 1, 1] : [1, layer.C];
      const hat = standardize(x, axes);
      const y = hat.mul(weight.reshape(along)).add(weights[`${layer.name}.bias`].ref.reshape(along));
      return layer.relu ? nn.relu(y) : y;
    }
  }
}

function standardize(x: np.Array, axes: number[]): np.Array {
  const centered = x.ref.sub(np.mean(x, axes, { keepdims: true }));
  const variance = np.mean(np.square(centered.ref), axes, { keepdims: true });
  return centered.div(np.sqrt(variance.add(eps)));
}

/** Σ (C_ii − 1)² + λ Σ C_ij², with the diagonal taken from the columns, which spares two passes over C. */
function barlowTwins(za: np.Array, zb: np.Array): np.Array {
  const [N] = za.shape;
  const [a, b] = [standardize(za, [0]), standardize(zb, [0])];
  const all = np.sum(np.square(np.matmul(np.transpose(a.ref), b.ref).div(N)));
  const diagonal = np.mean(a.mul(b), 0);
  const on = np.sum(np.square(diagonal.ref.sub(1)));
  const off = all.sub(np.sum(np.square(diagonal)));
  return on.add(off.mul(lambda));
}

async function loadOp(c: Case, values: Values, wait: Wait): Promise<Loaded> {
  const isLoss = c.kind === 'loss';
  const inputs = (isLoss ? ['za', 'zb'] : ['x']).map((name) => [name, array(values[name], c.shape)] as const);
  const args: Weights = { ...Object.fromEntries(inputs), ...loadWeights(c, values) };
  const compute = ({ x, za, zb, ...weights }: Weights) => {
    const y = isLoss ? barlowTwins(za, zb) : apply(c.layers[0], x, weights);
    tree.dispose(weights);
    return y;
  };
  const forward = jit(compute);
  const shape = (await blockUntilReady(forward(tree.ref(args)))).shape;
  const dy = isLoss ? np.ones([]) : array(values.dy, shape);
  const both = jit((given: Weights, cotangent: np.Array) => {
    const [y, backward] = vjp(compute, [given]);
    const [gradients] = backward(cotangent);
    backward.dispose();
    return { y, gradients };
  });
  let last: { y: np.Array; gradients: Weights } | undefined;
  return {
    async run(pass) {
      if (last) tree.dispose(last);
      last = undefined;
      if (pass === 'forward') tree.dispose(await wait(blockUntilReady(forward(tree.ref(args)))));
      else last = await wait(blockUntilReady(both(tree.ref(args), dy.ref) as NonNullable<typeof last>));
    },
    async outputs() {
      if (!last) throw new Error('nothing was run');
      const named = { [isLoss ? 'loss' : 'y']: last.y };
      for (const [name, gradient] of Object.entries(last.gradients)) named[`d${name}`] = gradient;
      return read(named);
    },
  };
}

async function read(arrays: Weights): Promise<Values> {
  const values: Values = {};
  for (const [name, each] of Object.entries(arrays)) values[name] = (await each.ref.data()) as Values[string];
  return values;
}

async function loadStep(c: Case, values: Values, wait: Wait): Promise<Loaded> {
  const [xa, xb] = ['xa', 'xb'].map((name) => array(values[name], c.shape));
  let weights = loadWeights(c, values);
  let moments = tree.map((weight: np.Array) => np.zerosLike(weight.ref), weights) as Weights;
  const objective = (trained: Weights, a: np.Array, b: np.Array) => {
    const embed = (x: np.Array) => c.layers.reduce((y, layer) => apply(layer, y, trained), x);
    const loss = barlowTwins(embed(a), embed(b));
    tree.dispose(trained);
    return loss;
  };
  const step = jit((trained: Weights, carried: Weights, a: np.Array, b: np.Array) => {
    const [loss, gradients] = valueAndGrad(objective)(tree.ref(trained), a, b) as [np.Array, Weights];
    const [nextMoments, nextWeights]: Weights[] = [{}, {}];
    for (const [name, gradient] of Object.entries(gradients)) {
      const moment = carried[name].mul(momentum).add(gradient);
      nextMoments[name] = moment.ref;
      nextWeights[name] = trained[name].sub(moment.mul(lr));
    }
    return { loss, weights: nextWeights, moments: nextMoments };
  });
  let loss: np.Array | undefined;
  return {
    async run() {
      loss?.dispose();
      const next = await wait(blockUntilReady(step(weights, moments, xa.ref, xb.ref)));
      ({ loss, weights, moments } = next as { loss: np.Array; weights: Weights; moments: Weights });
    },
    async outputs() {
      if (!loss) throw new Error('nothing was run');
      return read({ ...weights, loss });
    },
  };
}
