import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { format } from 'node:util';
import { transform } from 'esbuild';
import sharp from 'sharp';
import * as assert from 'uvu/assert';
import { generator } from './random.js';

/** Code of the blocks of a language in a Markdown file, in order. */
export function blocksOf(file: string, language: string): string[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(([, code]) => code);
}

/** Every page of docs, in its folders too: the reference in docs/api, the guides in docs/guides. */
export function docsPages(): string[] {
  const files = readdirSync('docs', { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.md'));
  return files.map((file) => join('docs', file)).sort();
}

/** The guides, which have their programs run by guides.ts. */
export const isGuide = (page: string): boolean => dirname(page) === join('docs', 'guides');

/** A program and a name of its own. */
interface Example {
  readonly name: string;
  readonly source: string;
}

/** The programs of the folder `examples`. */
export function exampleFiles(): Example[] {
  const files = readdirSync('examples').filter((file) => file.endsWith('.ts'));
  return files.map((file) => ({
    name: basename(file, '.ts'),
    source: readFileSync(join('examples', file), 'utf8'),
  }));
}

/** The programs of a page, named by its path: a guide and a page of the reference may have the same name. */
export function examplesOf(page: string): Example[] {
  const name = page
    .replace(/^docs\//, '')
    .replace(/\.md$/, '')
    .replaceAll('/', '_');
  return blocksOf(page, 'ts').map((source, i) => ({ name: `${name}_${i + 1}`, source }));
}

/**
 * A folder to run examples in, with 20 images under `photos` and 20 of two classes under `labeled`; and one inside the package,
 * which finds itself by name.
 */
export class Playground {
  readonly folder = mkdtempSync(join(tmpdir(), 'slimgrad-examples-'));
  readonly beside = resolve('build', `examples-${process.pid}`);

  async open(): Promise<void> {
    const random = generator();
    mkdirSync(this.beside, { recursive: true });
    const image = async (path: string, height: number, least: number, most: number) => {
      const raw = { width: 40, height, channels: 3 as const };
      const pixels = Uint8Array.from({ length: raw.width * height * 3 }, () => least + random() * (most - least));
      mkdirSync(join(this.folder, dirname(path)), { recursive: true });
      await sharp(pixels, { raw }).png().toFile(join(this.folder, path));
    };
    for (let i = 0; i < 20; i++) {
      await image(`photos/${i}.png`, 30 + i, 0, 256);
      await image(`labeled/${i % 2 ? 'bright' : 'dark'}/${i}.png`, 30 + i, i % 2 ? 156 : 0, i % 2 ? 256 : 100);
    }
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
    rmSync(this.beside, { recursive: true, force: true });
  }

  /** Trains on `photos` for two steps, and exports the slim encoder as `slim.onnx`. */
  async train(): Promise<void> {
    const quick = '--steps 2 --batch 8 --projector 16 --out runs/photos'.split(' ');
    await this.command('pretrain', '--data', 'photos', ...quick);
    await this.command('export', '--weights', 'runs/photos/slim.safetensors', '--out', 'slim.onnx');
  }

  /** Runs the built command line; fails unless it succeeds. */
  async command(...args: string[]): Promise<void> {
    const { code, out, err } = await this.#run([resolve('dist/cli.js'), ...args]);
    assert.is(code, 0, out + err);
  }

  /**
   * Runs a TypeScript program; what it prints must be what the comments behind its `console.log` say, where there are any.
   *
   * @param inProcess import it here instead of in a process of its own, which takes a driver a second to be loaded in
   */
  async program(name: string, source: string, { inProcess = false } = {}): Promise<void> {
    const out = await (inProcess ? this.#imported(name, source) : this.output(name, source));
    const promised = [...source.matchAll(/console\.log\(.*\); \/\/ (.*)/g)].map(([, text]) => text);
    const printed = out.trim().replaceAll('[ ', '[').replaceAll(' ]', ']').split('\n');
    if (promised.length > 0) assert.equal(printed, promised);
    else assert.match(out, /\d/, 'it prints its result');
  }

  /** What a TypeScript program prints, given these arguments; fails unless it succeeds. */
  async output(name: string, source: string, ...args: string[]): Promise<string> {
    const { code, out, err } = await this.#run([await this.#compiled(name, source), ...args]);
    assert.is(code, 0, out + err);
    return out;
  }

  /** The same of a program that is imported, in the playground's folder; it takes no arguments. */
  async #imported(name: string, source: string): Promise<string> {
    const file = await this.#compiled(name, source);
    const [log, folder] = [console.log, process.cwd()];
    const lines: string[] = [];
    console.log = (...values) => lines.push(format(...values));
    process.chdir(this.folder);
    try {
      await import(pathToFileURL(file).href);
    } finally {
      process.chdir(folder);
      console.log = log;
    }
    return lines.join('\n');
  }

  async #compiled(name: string, source: string): Promise<string> {
    const { code } = await transform(source, { loader: 'ts', format: 'esm', target: 'es2022' });
    const file = join(this.beside, `${name}.mjs`);
    writeFileSync(file, code);
    return file;
  }

  #run(args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
    return new Promise((done) => {
      execFile(process.execPath, args, { cwd: this.folder, timeout: 200_000 }, (error, out, err) => {
        done({ code: error ? Number(error.code ?? -1) : 0, out, err });
      });
    });
  }
}
