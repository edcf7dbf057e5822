import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OpenPage } from './serve.js';

const executable = ['/usr/bin/firefox-esr', '/usr/bin/firefox'].find((path) => existsSync(path));

/** Whether this machine has a Firefox: a second compiler of WGSL, and no subgroups. */
export const hasFirefox = executable !== undefined;

const preferences = {
  'dom.webgpu.enabled': true,
  'gfx.webgpu.ignore-blocklist': true,
  'browser.shell.checkDefaultBrowser': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
};

/** Opens `url` in a headless Firefox with WebGPU, in a profile of its own. */
export async function openFirefox(url: string): Promise<OpenPage> {
  if (!executable) throw new Error('no Firefox here; on Debian: apt-get install firefox-esr');
  const profile = mkdtempSync(join(tmpdir(), 'slimgrad-firefox-'));
  const lines = Object.entries(preferences).map(([name, value]) => `user_pref("${name}", ${value});`);
  writeFileSync(join(profile, 'user.js'), lines.join('\n'));
  const child = spawn(executable, ['--headless', '--no-remote', '--profile', profile, url], {
    env: { ...process.env, HOME: profile },
    stdio: 'ignore',
  });
  const exited = new Promise<number | null>((resolve) => {
    child.on('close', resolve);
  });
  const broken = exited.then((code): never => {
    throw new Error(`Firefox went away with exit code ${code}`);
  });
  return {
    broken,
    async close() {
      child.kill();
      await exited;
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
