// What a side is asked for, and the process around it: one JSON message a line in, one answer a line out.
import { createInterface } from 'node:readline';
import { findAdapter } from '../../src/node/device/device.js';
import { throttle } from '../../src/node/device/throttle.js';
import { isSoftware } from '../../src/runtime/adapter.js';
import { type Case, cases, inputsOf, type Pass, type Values } from './cases.js';

/** A case that is ready to run. */
export interface Loaded {
  /** Computes everything that the pass asks for and resolves when the adapter is done with it; nothing is read back. */
  run(pass: Pass): Promise<void>;
  /**
   * What the last run of both passes gave: `y` or `loss`, and each gradient as `d` + name. Of a training step: the
   * loss, and each weight by its name.
   */
  outputs(): Promise<Values>;
}

/** Awaits the adapter giving way to it where it computes on the CPU. */
export type Wait = <T>(pending: Promise<T>) => Promise<T>;

export type Side = (c: Case, values: Values, tools: { adapter: GPUAdapter; wait: Wait }) => Promise<Loaded>;

/** What the bench asks of a side, and what it answers. */
export type Request =
  | { do: 'load'; case: string; seed: number }
  | { do: 'run'; pass: Pass }
  /** Elements at these flat indices of the outputs. */
  | { do: 'sample'; at: Record<string, number[]> };
export type Answer = { adapter?: string; ms?: number; values?: Record<string, (number | null)[]>; error?: string };

/** Answers the bench until it closes the pipe. */
export async function serve(side: Side): Promise<void> {
  // the pipe is for answers alone
  for (const level of ['log', 'info', 'debug'] as const) console[level] = console.error;
  let loaded: Loaded | undefined;
  const handle = async (request: Request): Promise<Answer> => {
    if (request.do === 'load') {
      const found = cases.find(({ name }) => name === request.case) as Case;
      const adapter = await provideGpu();
      const wait: Wait = isSoftware(adapter.info) ? throttle : (pending) => pending;
      loaded = await side(found, inputsOf(found, request.seed), { adapter, wait });
      return { adapter: adapter.info.description || adapter.info.device };
    }
    if (!loaded) throw new Error('nothing is loaded');
    if (request.do === 'run') {
      const started = performance.now();
      await loaded.run(request.pass);
      return { ms: performance.now() - started };
    }
    const outputs = await loaded.outputs();
    const pick = (name: string, at: number[]) => at.map((i) => outputs[name]?.[i] ?? null);
    return { values: Object.fromEntries(Object.entries(request.at).map(([name, at]) => [name, pick(name, at)])) };
  };
  for await (const line of createInterface({ input: process.stdin })) {
    const answer = await handle(JSON.parse(line)).catch((error) => ({ error: String(error?.message ?? error) }));
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  process.exit();
}

/**
 * Gives the process the `navigator.gpu` that peers look for. It is an object of our own that asks for adapters: Dawn's
 * object itself is kept by `findAdapter`, as the process crashes once it is collected.
 */
async function provideGpu(): Promise<GPUAdapter> {
  const find = async () => (await findAdapter((process.env.SLIMGRAD_ADAPTER || 'auto') as 'auto')).adapter;
  const gpu = { requestAdapter: find, getPreferredCanvasFormat: () => 'bgra8unorm', wgslLanguageFeatures: new Set() };
  const value = { gpu, userAgent: 'Node', vendor: '', hardwareConcurrency: 1 };
  Object.defineProperty(globalThis, 'navigator', { value, configurable: true });
  return find();
}
