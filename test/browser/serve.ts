import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { build } from 'esbuild';

/** What the page says of one check. */
export interface Result {
  readonly name: string;
  /** The worst error, in the check's own measure. */
  readonly error: number;
  readonly tolerance: number;
  /** Why the check did not end, if it did not. */
  readonly failure?: string;
  readonly ms: number;
}

/** A page in a browser. */
export interface OpenPage {
  /** Rejects when the page fails or the browser goes away, `close()` included. */
  readonly broken: Promise<never>;
  close(): Promise<void>;
}

export interface PageServer {
  readonly url: string;
  /** The page's script as the browser gets it. */
  readonly script: string;
  /** Ends with all results, once the page has posted its last. */
  readonly results: Promise<Result[]>;
  close(): Promise<void>;
}

/** Bundles test/browser/page.ts and serves it, and the fixtures, on 127.0.0.1; the page posts its results back. */
export async function servePage(): Promise<PageServer> {
  const bundle = await build({
    entryPoints: ['test/browser/page.ts'],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    platform: 'browser',
    write: false,
    define: { 'process.env.SLIMGRAD_SEED': 'undefined' },
    logLevel: 'silent',
  });
  const script = bundle.outputFiles[0].text;
  const found: Result[] = [];
  let finish: (results: Result[]) => void;
  const results = new Promise<Result[]>((resolve) => {
    finish = resolve;
  });
  const server = createServer(async (request, response) => {
    const path = new URL(request.url ?? '/', 'http://page').pathname;
    const answer = (status: number, type: string, body: string | Buffer) => {
      response.writeHead(status, { 'content-type': type });
      response.end(body);
    };
    if (request.method === 'POST') {
      let body = '';
      for await (const part of request) body += part;
      answer(204, 'text/plain', '');
      if (path === '/done') finish(found);
      else found.push(JSON.parse(body, (_, value) => (value === 'Infinity' ? Number.POSITIVE_INFINITY : value)));
    } else if (path === '/') answer(200, 'text/html', '<!doctype html><script type="module" src="/page.js"></script>');
    else if (path === '/page.js') answer(200, 'text/javascript', script);
    else if (path.startsWith('/fixtures/')) {
      await readFile(join('test/fixtures', basename(path))).then(
        (bytes) => answer(200, 'application/octet-stream', bytes),
        () => answer(404, 'text/plain', 'no such fixture'),
      );
    } else answer(404, 'text/plain', 'not found');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${port}/`, script, results, close };
}
