import { expectOptions } from '../../checks/options.js';
import { Tape } from '../../core/tape.js';
import { globalAveragePool } from '../../ops/pool.js';
import type { Device } from '../../runtime/device.js';
import { Plan } from '../../runtime/plan.js';
import { tensor } from '../../tensor/tensor.js';
import { type NodeDeviceOptions, nodeOptions, openDevice, systemAdapters } from './device.js';

/** What `doctor` found. */
export interface Report {
  /** Whether the adapter that slimgrad would use computes correctly. */
  readonly ok: boolean;
  /** The whole report in words. */
  readonly text: string;
  /** What this machine's own drivers offer: name and backend. */
  readonly adapters: readonly string[];
  /** The adapter that slimgrad uses here. */
  readonly name?: string;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  /** Why it is not well. */
  readonly problem?: string;
}

const shownLimits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupsPerDimension',
  'minStorageBufferOffsetAlignment',
] as const;

/**
 * Looks for adapters, opens the one that slimgrad would use (or that `options` name), and proves by a small computation that
 * it computes. Never throws: what is wrong stands in the report.
 */
export async function doctor(options: NodeDeviceOptions = {}): Promise<Report> {
  const notices: string[] = [];
  const lines = [`slimgrad doctor: Node ${process.version}, ${process.platform}-${process.arch}`];
  const adapters = await systemAdapters().catch(() => []);
  lines.push(
    '',
    "Adapters of this machine's drivers:",
    ...(adapters.length > 0 ? adapters : ['none']).map((line) => `  ${line}`),
  );
  const found = { adapters, features: [] as string[], limits: {} as Record<string, number> };
  const end = (verdict: Pick<Report, 'name' | 'problem'>): Report => {
    const { problem } = verdict;
    lines.push('', problem === undefined ? 'OK: the adapter computes correctly.' : `NOT WELL: ${problem}`);
    return { ...found, ...verdict, ok: problem === undefined, text: lines.join('\n') };
  };
  let device: Device | undefined;
  try {
    const started = performance.now();
    device = await openDevice({
      ...expectOptions('doctor', options, nodeOptions),
      onNotice: (line) => notices.push(line),
    });
    const opened = performance.now() - started;
    const { info, gpu } = device;
    found.features = [...gpu.features].sort();
    for (const name of shownLimits) found.limits[name] = device.limits[name];
    const subgroups = device.subgroupSize > 0 ? `${info.subgroupMinSize} to ${info.subgroupMaxSize}` : 'none';
    lines.push(
      '',
      `Chosen: ${device.name}${device.software ? ' (software: computes on the CPU)' : ''}, opened in ${opened.toFixed(0)} ms`,
      ...notices.map((line) => `  ${line}`),
      `  vendor ${info.vendor || 'unknown'}, architecture ${info.architecture || 'unknown'}`,
      `  subgroup sizes: ${subgroups}`,
      `  features: ${found.features.join(', ')}`,
      ...Object.entries(found.limits).map(([name, value]) => `  ${name}: ${value}`),
    );
    return end({ name: device.name, problem: await findFault(device) });
  } catch (error) {
    return end({ name: device?.name, problem: error instanceof Error ? error.message : String(error) });
  } finally {
    device?.dispose();
  }
}

/**
 * Means of planes of sums of whole numbers, which f32 holds exactly: an addition and a reduction through the library's own
 * kernels. Returns what is wrong, or undefined.
 */
async function findFault(device: Device): Promise<string | undefined> {
  const [C, side] = [24, 64];
  const a = Float32Array.from({ length: C * side * side }, (_, i) => (i * 7919) % 1021);
  const b = Float32Array.from(a, (_, i) => ((i * 104729) % 509) - 100);
  const expected = Array.from({ length: C }, (_, c) => {
    let sum = 0;
    for (let i = c * side * side; i < (c + 1) * side * side; i++) sum += a[i] + b[i];
    return sum / (side * side);
  });
  const plan = new Plan(device, { label: 'doctor' });
  const buffers: GPUBuffer[] = [];
  const upload = (label: string, values: Float32Array<ArrayBuffer>) => {
    const buffer = device.buffer(label, values.byteLength);
    device.write(buffer, values);
    buffers.push(buffer);
    return tensor(buffer, label, [1, C, side, side]);
  };
  try {
    const tape = new Tape(plan, { frozen: true });
    const mean = globalAveragePool(tape, tape.sum(upload('a', a), upload('b', b)));
    plan.keep(mean);
    await plan.compile();
    plan.run();
    const got = await plan.read(mean);
    const wrong = expected.findIndex((value, c) => got[c] !== value);
    return wrong < 0
      ? undefined
      : `the mean of plane ${wrong} should be ${expected[wrong]}, but the adapter says ${got[wrong]}`;
  } finally {
    plan.dispose();
    for (const buffer of buffers) device.free(buffer);
  }
}
