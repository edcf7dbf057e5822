import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { brotliDecompress } from 'node:zlib';
import { type Browser, chromium } from 'playwright-core';
import { findArchive, softwareVersion, unpackArchive } from '../../src/node/device/software.js';
import type { OpenPage } from './serve.js';

const flags = [
  '--enable-unsafe-webgpu',
  '--headless=shell',
  '--no-sandbox',
  '--disable-gpu-watchdog', // it ends a GPU process that a busy machine holds up
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Unpacks the Chromium of @sparticuz/chromium, its SwiftShader and its NSS libraries, once. Returns the folder. */
async function unpackChromium(): Promise<string> {
  const folder = join('build', `chromium-${softwareVersion}`);
  if (existsSync(folder)) return folder;
  const fresh = `${folder}.${process.pid}`;
  try {
    mkdirSync(fresh, { recursive: true });
    const binary = await promisify(brotliDecompress)(await readFile(findArchive('chromium.br')));
    writeFileSync(join(fresh, 'chromium'), binary, { mode: 0o755 });
    for (const archive of ['swiftshader.tar.br', 'al2023.tar.br'])
      for (const [name, bytes] of unpackArchive(findArchive(archive))) {
        mkdirSync(dirname(join(fresh, name)), { recursive: true });
        writeFileSync(join(fresh, name), bytes, { mode: 0o755 });
      }
    renameSync(fresh, folder);
  } catch (error) {
    // Another test run may have been faster.
    if (!existsSync(folder)) throw error;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  return folder;
}

/** A headless Chromium with WebGPU on SwiftShader; it needs no library of the system beyond libc. */
export async function launchChromium(): Promise<Browser> {
  const folder = await unpackChromium();
  return chromium.launch({
    executablePath: join(folder, 'chromium'),
    args: flags,
    env: { ...process.env, LD_LIBRARY_PATH: join(folder, 'lib') } as Record<string, string>,
    timeout: 60_000,
  });
}

/** Opens `url` in a Chromium of its own. */
export async function openChromium(url: string): Promise<OpenPage> {
  const browser = await launchChromium();
  const page = await browser.newPage();
  const broken = new Promise<never>((_, reject) => {
    page.on('pageerror', reject);
    page.on('crash', () => reject(new Error('the page crashed')));
    browser.on('disconnected', () => reject(new Error('the browser went away')));
  });
  await page.goto(url);
  return { broken, close: () => browser.close() };
}
