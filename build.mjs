// Builds everything that is not written by hand.
//
//   node build.mjs             kernels → src/generated, library → dist (JavaScript and types)
//   node build.mjs kernels     shared blocks → kernels, kernels → src/generated
//   node build.mjs test [PATH…] kernels, then test/PATH.ts → build/test/PATH.mjs (all tests where none is named)
//   node build.mjs bench       kernels, then bench/*.ts → build/bench
//   node build.mjs experiments kernels, then experiments/*.ts → build/experiments

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { finishDeclarations } from './declarations.mjs';
import { squeezed } from './kernels/comments.mjs';
import { writeShared } from './kernels/shared.mjs';
import { isNewer } from './test/runner/files.mjs';

const [target = 'library', ...paths] = process.argv.slice(2);

/** The library's own reflection: Node runs no TypeScript by itself. */
async function importReflection() {
  const outfile = 'build/reflect.mjs';
  await build({
    ...shared,
    entryPoints: ['src/custom_kernel/reflect.ts'],
    outfile,
    packages: 'external',
    platform: 'node',
  });
  return import(pathToFileURL(resolve(outfile)).href);
}

/** The text of src/generated/NAME.ts: what the runtime binds and packs by, of the WGSL file at `path`. */
function kernelModule(reflect, name, path) {
  const code = readFileSync(path, 'utf8');
  return [
    `// Generated from ${path} by build.mjs; edit that file instead.`,
    `const code: string = ${JSON.stringify(code)};`,
    `export const ${name} = {\n  "stem": "${name}",\n  code,${JSON.stringify(reflect(path, code), null, 2).slice(1)} as const;`,
    '',
  ].join('\n');
}

const generated = 'build/kernels.stamp'; // written after src/generated

async function generateKernels() {
  // a chosen test is to start at once
  if (
    paths.length > 0 &&
    existsSync('src/generated') &&
    isNewer(generated, ['kernels', 'src/custom_kernel', 'build.mjs'])
  )
    return;
  writeShared();
  const { reflect } = await importReflection();
  mkdirSync('src/generated', { recursive: true });
  const stems = readdirSync('kernels').filter((file) => file.endsWith('.wgsl'));
  const wanted = new Set();
  const failures = [];
  for (const file of stems) {
    const name = basename(file, '.wgsl').replaceAll('.', '_');
    wanted.add(`${name}.ts`);
    try {
      writeIfChanged(join('src/generated', `${name}.ts`), kernelModule(reflect, name, `kernels/${file}`));
    } catch (error) {
      failures.push(error.message);
    }
  }
  for (const file of readdirSync('src/generated')) if (!wanted.has(file)) rmSync(join('src/generated', file));
  // a chosen test need not wait for a kernel that it does not use
  if (failures.length > 0 && paths.length === 0) throw new Error(failures.join('\n'));
  for (const failure of failures) console.warn(failure);
  if (failures.length === 0) writeFileSync(generated, '');
}

function writeIfChanged(path, text) {
  let old;
  try {
    old = readFileSync(path, 'utf8');
  } catch {
    old = undefined;
  }
  if (old !== text) writeFileSync(path, text);
}

const shared = { bundle: true, format: 'esm', target: 'es2022', sourcemap: true, logLevel: 'warning' };

/** What is shipped: kernels without comments and needless spaces. */
const squeezedKernels = {
  name: 'squeezed kernels',
  setup({ onLoad }) {
    onLoad({ filter: /src.generated.\w+\.ts$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8');
      const plain = (_, head, code) => `${head}${JSON.stringify(squeezed(JSON.parse(code)))};`;
      return { contents: text.replace(/^(const code: string = )(".*");$/m, plain), loader: 'ts' };
    });
  },
};

const shipped = { ...shared, platform: 'neutral', sourcemap: false, outdir: 'dist', plugins: [squeezedKernels] };

/**
 * One module for every file that the library's entries reach, so that a bundler leaves out the files that a program does not
 * use; and two bundles for where many files would be slow: the command line, and the browser without a bundler.
 */
async function buildLibrary() {
  rmSync('dist', { recursive: true, force: true });
  const bundled = { ...shipped, packages: 'external', external: ['node:*'] };
  const entryPoints = ['src/index.ts', 'src/node.ts', 'src/kernel.ts'];
  const { metafile } = await build({ ...bundled, entryPoints, write: false, metafile: true });
  await build({ ...shipped, bundle: false, entryPoints: Object.keys(metafile.inputs), outbase: 'src' });
  const [cli, chunkNames] = ['src/node/cli/main.ts', 'cli/[name]-[hash]'];
  const terse = { minifyWhitespace: true, minifySyntax: true }; // names stay, for stack traces
  await build({ ...bundled, ...terse, entryPoints: { cli }, splitting: true, chunkNames });
  await build({ ...bundled, entryPoints: { slimgrad: 'src/index.ts' }, minify: true });
  await buildParser();
  execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], {
    stdio: 'inherit',
  });
  finishDeclarations('dist');
}

/** dist/custom_kernel/parse.js holds the parser, a package that users need not install; `slimgrad/kernel` alone imports it. */
async function buildParser() {
  const license = readFileSync('node_modules/wgsl_reflect/LICENSE.md', 'utf8').replace(/^# /, 'wgsl_reflect: ');
  await build({
    ...shared,
    sourcemap: false,
    minify: true,
    entryPoints: ['src/custom_kernel/parse.ts'],
    outfile: 'dist/custom_kernel/parse.js',
    platform: 'neutral',
    banner: { js: `/*!\n${license.trim()}\n*/` },
  });
}

/** Has tests import test/runner/uvu.mjs, which runs those that are asked for, in the place of uvu. */
const filteredTests = {
  name: 'filtered tests',
  setup({ onResolve }) {
    const path = resolve('test/runner/uvu.mjs');
    onResolve({ filter: /^uvu$/ }, ({ importer }) => (importer === path ? undefined : { path }));
  },
};

async function buildScripts(folder, names) {
  const all = readdirSync(folder, { recursive: true })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts') && !file.startsWith('peers'))
    .map((file) => file.replace(/\.ts$/, ''));
  const chosen = names.length > 0 ? names : all;
  if (names.length === 0) rmSync(join('build', folder), { recursive: true, force: true });
  await build({
    ...shared,
    entryPoints: chosen.map((name) => join(folder, `${name}.ts`)),
    outdir: join('build', folder),
    outbase: folder,
    outExtension: { '.js': '.mjs' },
    packages: 'external',
    platform: 'node',
    plugins: folder === 'test' ? [filteredTests] : [],
  });
}

await generateKernels();
if (target === 'library') await buildLibrary();
else if (['test', 'bench', 'experiments'].includes(target)) await buildScripts(target, paths);
else if (target !== 'kernels')
  throw new Error(`build: expected library, kernels, test, bench or experiments, got ${target}`);
