// What `slimgrad doctor` finds: adapters, versions, features and limits, whether the adapter computes, and how fast.

import { readFileSync } from 'node:fs';
import { expectOptions } from '../../checks/options.js';
import type { Device } from '../../runtime/device.js';
import { findPackageFile } from '../system/packages.js';
import { version } from '../system/version.js';
import {
  choiceOfEnvironment,
  type NodeDeviceOptions,
  nodeOptions,
  openDevice,
  printedFor,
  systemAdapters,
} from './device.js';
import { type Chosen, type Report, reportText, type Versions } from './doctor_report.js';
import { findFault } from './fault.js';
import { measure } from './speed.js';

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
 * it computes; then times a product of matrices and a copy. Never throws: what is wrong stands in the report.
 */
export async function doctor(options: NodeDeviceOptions = {}): Promise<Report> {
  const found: { -readonly [K in keyof Omit<Report, 'ok' | 'text' | 'notices'>]: Report[K] } & { notices: string[] } = {
    versions: versionsHere(),
    adapters: await systemAdapters().catch(() => []),
    features: [],
    limits: {},
    notices: [],
    dawn: [],
  };
  let device: Device | undefined;
  try {
    const { adapter = choiceOfEnvironment() } = expectOptions('doctor', options, nodeOptions);
    if (typeof adapter === 'string') found.dawn = await printedFor(adapter).catch(() => []);
    const started = performance.now();
    device = await openDevice({ ...options, onNotice: (line) => found.notices.push(line) });
    found.name = device.name;
    found.chosen = describeAdapter(device, performance.now() - started);
    found.features = [...device.gpu.features].sort();
    found.limits = Object.fromEntries(shownLimits.map((name) => [name, (device as Device).limits[name]]));
    const fault = await findFault(device);
    if (fault === undefined) found.speed = await measure(device);
    else found.problem = fault;
  } catch (error) {
    found.problem = error instanceof Error ? error.message : String(error);
  } finally {
    device?.dispose();
  }
  const report = { ...found, ok: found.problem === undefined };
  return { ...report, text: reportText(report) };
}

function versionsHere(): Versions {
  const { bun, deno, node } = process.versions;
  const [name, of] = bun ? ['Bun', bun] : deno ? ['Deno', deno] : ['Node', node];
  const file = findPackageFile('webgpu', 'package.json');
  const webgpu: unknown = file === undefined ? undefined : JSON.parse(readFileSync(file, 'utf8')).version;
  return {
    slimgrad: version,
    ...(typeof webgpu === 'string' && { webgpu }),
    runtime: `${name} ${of}`,
    platform: `${process.platform}-${process.arch}`,
  };
}

function describeAdapter({ info, software, subgroupSize, name }: Device, opened: number): Chosen {
  return {
    driver: info.description || name,
    vendor: info.vendor,
    architecture: info.architecture,
    device: info.device,
    software,
    ...(subgroupSize > 0 && { subgroupSizes: [info.subgroupMinSize, info.subgroupMaxSize] as const }),
    openedMs: Math.round(opened),
  };
}
