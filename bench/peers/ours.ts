import { Tape } from '../../src/core/tape.js';
import { mobilenetV1 } from '../../src/encoders/mobilenet_v1.js';
import { barlowTwins } from '../../src/methods/barlow_twins.js';
import { Network } from '../../src/methods/network.js';
import { openDevice } from '../../src/node/device/device.js';
import { batchnorm } from '../../src/ops/batchnorm.js';
import { conv2d } from '../../src/ops/conv2d.js';
import { crossCorrelation } from '../../src/ops/cross_correlation.js';
import { depthwise } from '../../src/ops/depthwise.js';
import { sgd } from '../../src/optim/sgd.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { type Tensor, tensor } from '../../src/tensor/tensor.js';
import { allWeightShapes, type Case, eps, lambda, lr, momentum, network, type Pass, type Values } from './cases.js';
import { type Loaded, serve } from './side.js';

await serve(async (c, values, { adapter }) => {
  const device = await openDevice({ adapter });
  return c.kind === 'step' ? loadStep(device, c, values) : loadOp(device, c, values);
});

/** A plan for each pass: the forward alone, and forward, cleared weight gradients and backward. */
async function loadOp(device: Device, c: Case, values: Values): Promise<Loaded> {
  const upload = (
    label: string,
    shape: readonly number[],
    data = new Float32Array(shape.reduce((a, b) => a * b, 1)),
  ) => {
    const buffer = device.buffer(label, data.byteLength);
    device.write(buffer, data);
    return tensor(buffer, label, shape);
  };
  const inputs = (c.kind === 'loss' ? ['za', 'zb'] : ['x']).map((name) => upload(name, c.shape, values[name]));
  const weights = Object.entries(allWeightShapes(c)).map(([name, shape]) => ({
    ...upload(name, shape, values[name]),
    grad: upload(`d${name}`, shape),
  }));

  const plans: Record<Pass, Plan> = { forward: new Plan(device), both: new Plan(device) };
  forward(new Tape(plans.forward, { noGrad: true }), c, inputs, weights);

  const plan = plans.both;
  for (const { grad } of weights) plan.clear(grad);
  const tape = new Tape(plan);
  for (const input of inputs) tape.requireGrad(input);
  const y = forward(tape, c, inputs, weights);
  tape.backward(y, upload('dy', y.shape, values.dy ?? Float32Array.of(1)));
  const outputs: Record<string, Tensor> = { [c.kind === 'loss' ? 'loss' : 'y']: y };
  for (const { label, grad } of weights) outputs[`d${label}`] = grad;
  for (const input of inputs) outputs[`d${input.label}`] = tape.gradient(input) as Tensor;
  for (const output of Object.values(outputs)) plan.retain(output);

  for (const each of Object.values(plans)) await each.compile();
  return {
    run(pass) {
      plans[pass].run();
      return device.settled();
    },
    async outputs() {
      const read: Values = {};
      for (const [name, output] of Object.entries(outputs)) read[name] = await plan.read(output);
      return read;
    },
  };
}

function forward(tape: Tape, c: Case, inputs: readonly Tensor[], weights: readonly Tensor[]): Tensor {
  const [x] = inputs;
  if (c.kind === 'loss') return crossCorrelation(tape, x, inputs[1], { lambda, scale: 1, eps }).loss;
  const [layer] = c.layers;
  if (layer.kind === 'conv') return conv2d(tape, x, weights[0], { stride: layer.S, padding: layer.K >> 1 });
  if (layer.kind === 'depthwise') return depthwise(tape, x, weights[0], { stride: layer.S, padding: layer.K >> 1 });
  const [gamma, beta] = weights;
  const [runningMean, runningVar] = ['mean', 'var'].map((name) => tape.empty(`running_${name}`, gamma.shape));
  return batchnorm(tape, x, { gamma, beta, runningMean, runningVar }, { updateStats: false, eps });
}

/** The step as the library's own trainer records it, without augmentation; its running statistics are tracked too. */
async function loadStep(device: Device, c: Case, values: Values): Promise<Loaded> {
  const { stem, blocks, units } = network;
  const width = stem / 32;
  const method = barlowTwins(
    mobilenetV1({ width, stemStride: 1, blocks: blocks.map(([O, S]) => [O / width, S] as const) }),
    { projector: units, lambda, scale: 1 },
  );
  const net = new Network(device, method);
  net.parameters.initialize(() => 0.5);
  for (const name of Object.keys(allWeightShapes(c))) net.parameters.write(name, values[name]);
  const view = (name: string): Tensor => {
    const buffer = device.buffer(name, values[name].byteLength);
    device.write(buffer, values[name]);
    return tensor(buffer, name, c.shape);
  };
  const plan = new Plan(device, { label: 'step' });
  plan.clear({ storage: net.parameters.grads, offset: 0, bytes: net.parameters.size * 4 });
  const views = { a: view('xa'), b: view('xb') };
  const objective = method.record(new Tape(plan), net, views);
  sgd(plan, net.parameters, { momentum, weightDecay: 0 });
  await plan.compile();
  return {
    run() {
      plan.run({ lr });
      return device.settled();
    },
    async outputs() {
      const { loss } = objective.summarize({ metrics: await plan.read(objective.metrics.metrics) });
      const trained = [...(await net.parameters.read())].map(([name, { data }]) => [name, data] as const);
      return { ...Object.fromEntries(trained), loss: Float32Array.of(loss) } as Values;
    },
  };
}
