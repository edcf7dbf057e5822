// Which adapters of this machine run GPU tests, and which tests run on every one of them.
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { once } from './slow.mjs';

const vulkanFolders = ['/etc/vulkan/icd.d', '/usr/local/share/vulkan/icd.d', '/usr/share/vulkan/icd.d'];

function lavapipeManifest() {
  for (const folder of vulkanFolders) {
    const name = existsSync(folder) && readdirSync(folder).find((file) => /^lvp_icd.*\.json$/.test(file));
    if (name) return join(folder, name);
  }
  return undefined;
}

/** Whether Dawn accepts the driver of `manifest`, or any of the system's: Debian 12's own lavapipe is too old for it. */
function opens(manifest) {
  const ask =
    "import { create } from 'webgpu'; const gpu = create([]); process.exit((await gpu.requestAdapter()) ? 0 : 1)";
  const env = { ...process.env, ...(manifest && { VK_DRIVER_FILES: manifest }) };
  return new Promise((resolve) => {
    execFile(process.execPath, ['--input-type=module', '-e', ask], { env }, (error) => resolve(!error));
  });
}

/**
 * The adapters to test on, the fastest last: the one that SLIMGRAD_ADAPTER names, else the software adapters that are here, else
 * the system's. None where nothing computes.
 */
export async function findAdapters() {
  if (process.env.SLIMGRAD_ADAPTER) return [process.env.SLIMGRAD_ADAPTER];
  const hasEmbedded =
    process.platform === 'linux' && process.arch === 'x64' && existsSync('node_modules/@sparticuz/chromium/bin');
  const manifest = lavapipeManifest();
  const software = [
    ...(hasEmbedded ? ['swiftshader'] : []),
    ...(manifest && (await opens(manifest)) ? ['lavapipe'] : []),
  ];
  return software.length > 0 ? software : (await opens()) ? ['system'] : [];
}

/**
 * The runs of a GPU test file: the adapter of each and which of its tests run, by a pattern for their names. Where none says which,
 * adapters beside the fastest run a third of them, `share`, another by another seed.
 */
export function runsOf(name, adapters, seed) {
  return adapters.map((adapter) => {
    if (adapter === adapters.at(-1)) return { adapter, patterns: [] };
    return name in once ? { adapter, patterns: [once[name]] } : { adapter, patterns: [], share: `3/${seed % 3}` };
  });
}
