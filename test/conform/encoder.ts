import { backbone, type EncoderName, encoderNames } from '../../src/config/encoders.js';
import { Tape } from '../../src/core/tape.js';
import type { Safetensors } from '../../src/formats/safetensors.js';
import { backboneParameters, backboneState } from '../../src/inference/torchvision.js';
import { Plan } from '../../src/runtime/plan.js';
import { numel } from '../../src/tensor/tensor.js';
import type { Case, Check } from './cases.js';
import { relativeError } from './cases.js';

/** Images and the features that torchvision makes of them, by the keys of a case: by running statistics, or the batch's. */
const passes = [
  { x: 'x0', features: 'eval0', training: false },
  { x: 'x1', features: 'eval1', training: false },
  { x: 'x2', features: 'eval2', training: false },
  { x: 'xt', features: 'train', training: true },
];

/** Features of a torchvision encoder, from its state dict as it stands. */
export async function encoder(of: Case, state: Safetensors): Promise<Check[]> {
  const { device, attributes } = of;
  const name = attributes.encoder as EncoderName;
  if (state.metadata.op !== 'encoder-state' || state.metadata.encoder !== name || !encoderNames.includes(name))
    throw new Error(`expected the state of an encoder, ${name}, got ${JSON.stringify(state.metadata)}`);
  const network = backbone({ encoder: name, width: 1, ratio: 1, stemStride: 2, blocks: null });
  const parameters = backboneParameters(device, network, backboneState(state.tensors), attributes.state);
  const checks: Check[] = [];
  try {
    for (const { x, features, training } of passes) {
      const plan = new Plan(device);
      try {
        const tape = new Tape(plan, { noGrad: true });
        const y = network.forward({ tape, parameters, width: 'host', training, updateStats: false }, of.upload(x));
        plan.retain(y);
        await plan.compile();
        plan.poison();
        plan.run();
        const values = (await plan.read(y)).subarray(0, numel(y.shape));
        checks.push({ what: features, error: relativeError(values, of.values(features)), tolerance: 1e-3 });
      } finally {
        plan.dispose();
      }
    }
  } finally {
    parameters.dispose();
  }
  return checks;
}
