// Fills the reference in docs/api from the library's own types and comments.
//
//   node docs/build.mjs          writes docs/api/*.md and the index, docs/api.md
//   node docs/build.mjs --check  writes nothing, and fails where they are not up to date
//
// A page says by a line <!-- api: FOLDERS --> whose public names it documents, all those that come from these folders or
// files of src; what follows that line is made here. So a name that is exported from src/index.ts, src/node.ts or src/kernel.ts is in the
// reference; it needs a comment of its own, and its folder
// a page.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, posix } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const entries = { slimgrad: 'index', 'slimgrad/node': 'node', 'slimgrad/kernel': 'kernel' };
const folder = 'docs/api';
const mark = /^<!-- api: (.+) -->$/m;

const types = mkdtempSync(join(tmpdir(), 'slimgrad-types-'));

/** Path and text of every page, and what is amiss. */
function buildAll() {
  const troubles = [];
  const names = Object.entries(entries).flatMap(([module, entry]) =>
    publicNames(entry).map((name) => ({ ...name, module })),
  );
  for (const name of names) {
    name.doc ??= ofUsers(name, names);
    if (!name.doc) troubles.push(`src/${name.file}.ts: ${name.name} is public and has no comment`);
  }
  const taken = new Map();
  const pages = readdirSync(folder).map((page) => {
    const path = join(folder, page);
    const text = readFileSync(path, 'utf8');
    const [line, list] = mark.exec(text) ?? [];
    if (!line) throw new Error(`${path}: expected a line <!-- api: FOLDERS -->`);
    const sources = list.split(', ');
    const own = names.filter(({ file }) => sources.some((source) => file === source || file.startsWith(`${source}/`)));
    for (const source of sources)
      if (!names.some(({ file }) => file === source || file.startsWith(`${source}/`)))
        troubles.push(`${path}: nothing public comes from src/${source}`);
    for (const name of own) {
      if (taken.has(name)) troubles.push(`${name.name} is on two pages, ${taken.get(name)} and ${path}`);
      taken.set(name, path);
    }
    const [prose] = text.split(line);
    own.sort((a, b) => (a.file === b.file ? isType(a) - isType(b) : 0)); // a function before its options
    giveAnchors(prose, own);
    return { path, text: `${prose}${line}\n${own.map(section).join('')}` };
  });
  for (const name of names)
    if (!taken.has(name)) troubles.push(`src/${name.file}.ts: no page of ${folder} documents it: ${name.name}`);
  return { pages: [...pages, index(names, taken)], troubles };
}

function finish({ pages, troubles }) {
  const check = process.argv.includes('--check');
  for (const { path, text } of pages) {
    if (readFileSync(path, 'utf8') === text) continue;
    if (check) troubles.push(`${path} is not up to date: run npm run docs`);
    else writeFileSync(path, text);
  }
  for (const trouble of troubles) console.error(trouble);
  if (troubles.length > 0) process.exitCode = 1;
}

const isType = ({ code }) => /^export (interface|type)/.test(code);

/** GitHub's anchor of each heading: in lower case, numbered where a page has it twice. */
function giveAnchors(prose, own) {
  const seen = new Map();
  const anchor = (heading) => {
    const plain = heading
      .toLowerCase()
      .replace(/[^\w -]/g, '')
      .replaceAll(' ', '-');
    const times = seen.get(plain) ?? 0;
    seen.set(plain, times + 1);
    return times === 0 ? plain : `${plain}-${times}`;
  };
  for (const [, heading] of prose.matchAll(/^#+ (.+)$/gm)) anchor(heading);
  for (const name of own) name.anchor = anchor(heading(name));
}

const heading = ({ name, module }) => (module === 'slimgrad' ? name : `${name} (${module})`);

/** What a type without a comment is: the options of a function, say. */
function ofUsers({ name, code }, names) {
  if (!isType({ code })) return undefined;
  const uses = new RegExp(`\\b${name}\\b`);
  const users = names.filter((other) => other.name !== name && uses.test(other.code)).map((user) => user.name);
  return users.length > 0 ? `/** Of \`${users.join('`, `')}\`. */` : undefined;
}

/** The names that an entry of the package exports, in its order, each with the declaration behind it. */
function publicNames(entry) {
  const text = declarationsOf(entry).text;
  return [...text.matchAll(/^export (?:type )?(\*|\{[^}]*\}) from '\.\/(.+)\.js';$/gm)].flatMap(([, list, file]) => {
    const { found } = declarationsOf(file);
    const names = list === '*' ? [...found.keys()] : list.replace(/[{}]|\btype /g, '').split(',');
    return names
      .map((name) => name.trim())
      .filter(Boolean)
      .map((name) => {
        const declared = found.get(name);
        if (!declared) throw new Error(`src/${file}.ts: found no declaration of ${name}`);
        return { name, file, ...declared };
      });
  });
}

const read = new Map();

/** Exported declarations of a source file, as the compiler prints them: code without indentation begins one, all else goes on. */
function declarationsOf(file) {
  if (!read.has(file)) {
    const text = readFileSync(join(types, `${file}.d.ts`), 'utf8');
    const found = new Map();
    for (const [, comment, code, name] of text.matchAll(
      /^(\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n)?(export (?:declare )?(?:abstract )?(?:function|class|interface|type|const) (\w+)\b.*\n(?:(?: |\}).*\n)*)/gm,
    )) {
      const same = found.get(name);
      found.set(name, { doc: same?.doc ?? comment, code: `${same?.code ?? ''}${code}` });
    }
    read.set(file, { text, found });
  }
  return read.get(file);
}

/** A name's part of a page: what it does, and its declaration. */
function section(name) {
  const { doc = '', code } = name;
  const body =
    name.name === 'TrainConfig' ? settings() : `\`\`\`typescript\n${signature(spellOut(code, name.file))}\`\`\`\n`;
  return `\n### ${heading(name)}\n\n${prose(doc)}\n${body}`;
}

/** The settings of a run as a table. */
function settings() {
  const rows = settingFlags().map((flag) => {
    const value = flag.value.replaceAll('|', '\\|');
    return `| \`${flag.key}\` | ${value || 'true\\|false'} | ${flag.default} | ${flag.doc} |\n`;
  });
  return `| key | value | default | what it is |\n|---|---|---|---|\n${rows.join('')}`;
}

/** Replaces the names of an object's keys or a tuple's items by what they are. */
function spellOut(code, file) {
  const text = (name) => {
    const own = declarationsOf(file).text;
    const [, from] = new RegExp(`import \\{[^}]*\\b${name}\\b[^}]*\\} from '(.+)\\.js'`).exec(own) ?? [];
    return from ? declarationsOf(posix.join(posix.dirname(file), from)).text : own;
  };
  const union = (names) => names.map((name) => `'${name}'`).join(' | ');
  return code
    .replace(/keyof typeof (\w+)/g, (whole, name) => {
      const [, body] = new RegExp(`const ${name}: \\{\n([\\s\\S]*?)\n\\};`).exec(text(name)) ?? [];
      return body ? union([...body.matchAll(/^ {4}(?:readonly )?(\w+):/gm)].map(([, key]) => key)) : whole;
    })
    .replace(/\(typeof (\w+)\)\[number\]/g, (whole, name) => {
      const [, items] = new RegExp(`const ${name}: readonly \\[(.*)\\];`).exec(text(name)) ?? [];
      return items ? items.replaceAll('"', "'").replaceAll(', ', ' | ') : whole;
    });
}

function signature(code) {
  return code
    .replaceAll('"', "'")
    .replace(/^export (declare )?/gm, '')
    .replace(/^ +(#private;|private .*)\n/gm, '')
    .replace(/import\("[^"]*"\)\./g, '')
    .replace(/^ +/gm, (indent) => indent.slice(indent.length / 2));
}

/** A comment as Markdown: what stands before the tags, then the tags as a list. */
function prose(comment) {
  const lines = comment
    .replace(/^\/\*\*|\*\/\s*$/g, '')
    .split('\n')
    .map((line) => line.replace(/^\s*\* ?/, '').trimEnd());
  const [text, ...tags] = lines.join('\n').trim().split(/^@/m);
  const items = tags.map((tag) => {
    const [, kind, rest] = /^(\w+)\s*([\s\S]*)$/.exec(tag.replace(/\s*\n\s*/g, ' ').trim());
    if (kind === 'param') return rest.replace(/^(\w+)/, '`$1`:');
    return `${{ returns: 'Returns', throws: 'Throws' }[kind] ?? kind} ${rest}`;
  });
  const list = items.map((item) => `- ${item}\n`).join('');
  return [text.trim() && `${text.trim()}\n`, list].filter(Boolean).join('\n');
}

/** docs/api.md: its own prose, then all names. */
function index(names, taken) {
  const path = `${folder}.md`;
  const [head] = readFileSync(path, 'utf8').split(/^<!-- names -->$/m);
  const link = (name) => {
    const page = posix.relative(dirname(path), taken.get(name) ?? '');
    return `[${name.name}](${page}#${name.anchor})`;
  };
  const lists = Object.keys(entries).map((module) => {
    const own = names.filter((name) => name.module === module).sort((a, b) => (a.name < b.name ? -1 : 1));
    const heading = module === 'slimgrad' ? 'Every name of slimgrad' : `What ${module} has beside these`;
    return `\n## ${heading}\n\n${own.map(link).join(' ·\n')}\n`;
  });
  return { path, text: `${head}<!-- names -->\n${lists.join('')}` };
}

// the settings come from the source itself
const bundle = join(types, 'config.mjs');
await build({
  entryPoints: ['src/config/settings.ts'],
  outfile: bundle,
  bundle: true,
  format: 'esm',
  logLevel: 'error',
});
const { settingFlags } = await import(pathToFileURL(bundle).href);
try {
  const tsc = ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json', '--outDir', types];
  execFileSync(process.execPath, tsc, { stdio: 'inherit' });
  finish(buildAll());
} finally {
  rmSync(types, { recursive: true, force: true });
}
