// What `slimgrad doctor` found, as a program gets it and in words.
import type { Speed } from './speed.js';

/** What `doctor` found. `slimgrad doctor --json` prints it without `text`; what is not known there is null. */
export interface Report {
  /** Whether the adapter that slimgrad would use computes correctly. */
  readonly ok: boolean;
  /** The whole report in words. */
  readonly text: string;
  readonly versions: Versions;
  /** What this machine's own drivers offer: name and backend. */
  readonly adapters: readonly string[];
  /** The adapter that slimgrad uses here. */
  readonly name?: string;
  readonly chosen?: Chosen;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  /** How fast it is, where it computes correctly. */
  readonly speed?: Speed;
  /** What slimgrad says where it takes another adapter than the machine's own. */
  readonly notices: readonly string[];
  /** What Dawn and the GPU drivers print when they look for adapters. */
  readonly dawn: readonly string[];
  /** What is wrong. */
  readonly problem?: string;
}

/** What is installed. */
export interface Versions {
  readonly slimgrad: string;
  /** Of the package webgpu, which is Dawn; left out where it is not installed. */
  readonly webgpu?: string;
  /** The name and version of what runs JavaScript: `Node 20.20.2`. */
  readonly runtime: string;
  /** `linux-x64` */
  readonly platform: string;
}

/** An adapter as it describes itself. */
export interface Chosen {
  /** The driver's name and version, as far as it says. */
  readonly driver: string;
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  /** Whether it computes on the CPU. */
  readonly software: boolean;
  /** The smallest and the largest subgroup; left out where it has none. */
  readonly subgroupSizes?: readonly [number, number];
  /** How long it took to open, in milliseconds. */
  readonly openedMs: number;
}

/** A report in words. */
export function reportText(report: Omit<Report, 'text'>): string {
  const { versions, adapters, name, chosen, features, limits, speed, notices, dawn, problem } = report;
  const lines = [
    `slimgrad ${versions.slimgrad}, webgpu ${versions.webgpu ?? 'not installed'} (Dawn), ${versions.runtime}, ${versions.platform}`,
    ...section("Adapters of this machine's drivers", adapters.length > 0 ? adapters : ['none']),
  ];
  if (chosen) {
    const rows = [
      ['name', name === chosen.driver ? '' : (name ?? '')],
      ['driver', chosen.driver],
      ['vendor', chosen.vendor],
      ['architecture', chosen.architecture],
      ['device', chosen.device],
      ['computes on', chosen.software ? 'the CPU' : 'a GPU'],
      ['opened in', `${chosen.openedMs} ms`],
      ['subgroup sizes', chosen.subgroupSizes ? [...new Set(chosen.subgroupSizes)].join(' to ') : 'none'],
      ...(speed ? speedRows(speed) : []),
    ];
    lines.push(...section('Adapter in use', [...notices, ...table(rows)]));
    lines.push(...section('Features', wrapped(features)));
    lines.push(...section('Limits', table(Object.entries(limits).map(([key, value]) => [key, String(value)]))));
  }
  if (dawn.length > 0) lines.push(...section('Dawn and the drivers print', dawn));
  lines.push('', problem === undefined ? 'OK: the adapter computes correctly.' : `FAILED: ${problem}`);
  return lines.join('\n');
}

function speedRows({ matmulGflops, copyGbps }: Speed): string[][] {
  return [
    ['matmul 512 x 512', `${digits(matmulGflops)} GFLOP/s`],
    ['copy', `${digits(copyGbps)} GB/s, read and written`],
  ];
}

const digits = (value: number) => (value >= 100 ? value.toFixed(0) : value.toPrecision(2));

function section(title: string, lines: readonly string[]): string[] {
  return ['', `${title}:`, ...lines.map((line) => `  ${line}`)];
}

/** Rows of a name and a value, those without a value left out; values stand below each other. */
function table(rows: readonly (readonly string[])[]): string[] {
  const said = rows.filter(([, value]) => value !== '');
  const width = Math.max(...said.map(([key]) => key.length));
  return said.map(([key, value]) => `${key.padEnd(width)}  ${value}`);
}

/** Words by commas, in lines of 78 columns. */
function wrapped(words: readonly string[]): string[] {
  const lines = [''];
  for (const [i, word] of words.entries()) {
    const part = i < words.length - 1 ? `${word},` : word;
    const last = lines[lines.length - 1];
    if (last === '') lines[lines.length - 1] = part;
    else if (last.length + 1 + part.length <= 78) lines[lines.length - 1] += ` ${part}`;
    else lines.push(part);
  }
  return lines;
}
