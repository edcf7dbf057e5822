// Installs the peers, builds the bench and runs it: node bench/peers/run.mjs --help
//
// Peers and bundles go to build/peers: modules found next to them are the peers', the library's own lie further up.
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

process.chdir(fileURLToPath(new URL('../..', import.meta.url)));
const [from, to] = ['bench/peers', 'build/peers'];
const lock = 'package-lock.json';
const read = (path) => (existsSync(path) ? readFileSync(path, 'utf8') : undefined);

mkdirSync(to, { recursive: true });
// npm writes the file in node_modules last of all
if (read(`${to}/${lock}`) !== read(`${from}/${lock}`) || !existsSync(`${to}/node_modules/.package-lock.json`)) {
  for (const file of ['package.json', lock]) copyFileSync(`${from}/${file}`, `${to}/${file}`);
  try {
    execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: to, stdio: ['ignore', 2, 2] });
  } catch (error) {
    console.error(`The peers cannot be installed (${error.message}): their columns stay empty.`);
  }
}
execFileSync(process.execPath, ['build.mjs', 'kernels'], { stdio: 'inherit' });

const bundle = (names, options) =>
  build({
    entryPoints: names.map((name) => `${from}/${name}.ts`),
    outdir: to,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'es2022',
    sourcemap: true,
    logLevel: 'warning',
    ...options,
  });
await bundle(['main', 'ours', 'jax'], { packages: 'external' });
// the files of tfjs import one another in a way that only bundlers follow, and require Node's modules
rmSync(`${to}/tfjs.mjs`, { force: true });
await bundle(['tfjs'], {
  logLevel: 'silent',
  external: ['webgpu', 'sharp', '@sparticuz/chromium'],
  mainFields: ['module', 'main'],
  nodePaths: [`${to}/node_modules`],
  banner: {
    js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
  },
}).catch((error) => console.error(`tfjs cannot be bundled (${error.message}): its column stays empty.`));
await import('../../build/peers/main.mjs');
