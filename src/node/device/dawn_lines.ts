// What Dawn and the GPU drivers print when they look for adapters, asked of a process of its own: they write to descriptor 2 from
// native code, where nothing in this process can read it.
import { execFile } from 'node:child_process';

const script = `
const [webgpu, loader] = process.argv.slice(1);
if (loader) try { process.dlopen({ exports: {} }, loader, 0x1002); } catch {}
const { create } = await import(webgpu);
const gpu = create([]);
await gpu.requestAdapter();
process.exit(gpu ? 0 : 1);`;

/** Where to look for adapters: by one driver alone, and by a Vulkan loader that is not the system's. */
export interface Driver {
  /** Its Vulkan manifest; left out, all of the system. */
  readonly manifest?: string | undefined;
  readonly loader?: string;
}

/** The lines that are printed where one looks for adapters; none where nothing is printed, or another runtime than Node runs this. */
export function driverLines({ manifest, loader = '' }: Driver = {}): Promise<string[]> {
  if ('Bun' in globalThis || 'Deno' in globalThis) return Promise.resolve([]);
  const env = { ...process.env, ...(manifest !== undefined && { VK_DRIVER_FILES: manifest }) };
  const args = ['--input-type=module', '--eval', script, import.meta.resolve('webgpu'), loader];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { env, timeout: 20_000 }, (_error, _out, printed) =>
      resolve(printed.split('\n').flatMap((line) => line.trimEnd() || [])),
    );
  });
}
