// Sections of reports: confusion matrices, maps of features, and what extends a page.
import { inflateSync } from 'node:zlib';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { DataError } from '../../src/errors.js';
import { featureMap } from '../../src/node/eval/feature_map.js';
import { evaluationText, type Result, resultText } from '../../src/node/eval/scores.js';
import { confusionFigure } from '../../src/node/report/confusion.js';
import { extendReport } from '../../src/node/report/extend.js';
import { mapFigure } from '../../src/node/report/feature_map.js';
import { renderPage, resultsHere } from '../../src/node/report/page.js';
import { resultSection } from '../../src/node/report/result.js';
import { generator, randoms } from '../random.js';
import { rejects } from '../rejects.js';

const result: Result = {
  what: 'linear',
  weights: '/home/<me>/runs/a/slim.safetensors',
  part: 'slim',
  data: '<photos>',
  adapter: 'adapter & co',
  on: '6 held-out images of 2 classes; trained on 20 items',
  scores: [
    { name: 'slim encoder, trained', linear: 5 / 6, knn: 0.5 },
    { name: 'raw pixels', linear: 0.5 },
  ],
  notes: ['A note.'],
  confusion: {
    of: 'Mine',
    classes: ['<cat>', 'dog'],
    counts: [
      [3, 0],
      [1, 2],
    ],
  },
  map: { of: 'Mine', classes: ['<cat>', 'dog'], x: [0, 1, 2], y: [5, 5, 7], labels: [0, 1, 1] },
  settings: { epochs: 2, lr: [0.1, 0.3] },
  classes: { names: ['<cat>', 'dog'], train: [12, 8], test: [3, 3] },
  fitted: [
    {
      name: 'slim encoder, trained',
      lr: 0.3,
      trials: [
        { lr: 0.1, accuracy: 0.25 },
        { lr: 0.3, accuracy: 0.5 },
        { lr: 9, accuracy: null },
      ],
      batch: 4,
      meanPerClass: 5 / 6,
      log: [
        { epoch: 1, lr: 0.3, loss: 0.7 },
        { epoch: 2, lr: 0.03, loss: 0.4 },
      ],
    },
  ],
};

test('a section tells all of a result, and escapes what it is given', () => {
  const section = resultSection(result);
  for (const part of [
    'Linear evaluation of the slim encoder on &#60;photos&#62;',
    '83.3 %',
    'a/slim.safetensors; epochs 2, lr 0.1/0.3; adapter &#38; co.',
    '0.1\u00a025.0\u00a0%, 0.3\u00a050.0\u00a0%, 9\u00a0diverged',
    '<b>1</b> of 3 <em>dog</em> predicted as <em>&#60;cat&#62;</em>',
    'points="',
  ])
    assert.ok(section.includes(part), part);
  assert.not.match(section, /<(photos|cat|me)>|NaN|undefined|Infinity/);
});

test('plain text has the table, the learning rates and the notes', () => {
  const text = resultText(result);
  assert.match(text, /linear +kNN\nslim encoder, trained +83\.3 % +50\.0 %\nraw pixels +50\.0 % +–\n/);
  assert.match(
    text,
    'Learning rate of slim encoder, trained: 0.3, chosen on a part of the training images (0.1 25.0 %',
  );
  assert.match(text, /A note\.$/);
  assert.match(evaluationText({ on: 'nothing', scores: [], notes: [] }), /^On nothing:/);
});

test('a small confusion matrix is a table: counts, shares of the row, and what is right', () => {
  const html = confusionFigure(result.confusion as NonNullable<Result['confusion']>);
  const cells = [...html.matchAll(/<td class="(\w+)" style="--share:([\d.]+)" title="([^"]+)">(\d+)<\/td>/g)];
  assert.equal(
    cells.map(([, kind, share, title, text]) => [kind, share, title, text]),
    [
      ['right', '1.000', '&#60;cat&#62; predicted as &#60;cat&#62;: 3 of 3', '3'],
      ['wrong', '0.333', 'dog predicted as &#60;cat&#62;: 1 of 3', '1'],
      ['right', '0.667', 'dog predicted as dog: 2 of 3', '2'],
    ],
  );
  assert.equal(
    [...html.matchAll(/class="recall">([^<]+)</g)].map(([, text]) => text),
    ['100.0 %', '66.7 %'],
  );
  const none = confusionFigure({
    of: 'x',
    classes: ['a', 'b'],
    counts: [
      [0, 0],
      [0, 4],
    ],
  });
  assert.match(none, 'Every image was predicted correctly');
  assert.match(none, 'class="recall">–<');
  const empty = confusionFigure({ of: 'x', classes: ['a'], counts: [[0]] });
  assert.not.match(empty, 'predicted correctly');
  assert.match(empty, 'class="recall">–<');
});

test('a large confusion matrix is an image of one pixel a cell', () => {
  const K = 30;
  const counts = Array.from({ length: K }, (_, i) =>
    Array.from({ length: K }, (_, j) => (j === i ? 4 : j === (i + 7) % K ? 1 : 0)),
  );
  const html = confusionFigure({ of: 'x', classes: counts.map((_, i) => `c${i}`), counts });
  assert.not.match(html, '<td');
  const [, base64] = /data:image\/png;base64,([^"]+)/.exec(html) ?? [];
  const png = Buffer.from(base64, 'base64');
  assert.equal([png.readUInt32BE(16), png.readUInt32BE(20)], [K, K]);
  const at = png.indexOf('IDAT');
  const rows = inflateSync(png.subarray(at + 4, at + 4 + png.readUInt32BE(at - 4)));
  for (let i = 0; i < K; i++)
    for (let j = 0; j < K; j++) {
      const alpha = rows[i * (1 + 4 * K) + 1 + 4 * j + 3];
      assert.is(alpha > 0, counts[i][j] > 0, `${i}, ${j}`);
    }
});

test('a map draws every image once within its frame, names each class once, and needs no spread', () => {
  const random = generator();
  for (const [N, K, flat] of [
    [200, 5, false],
    [40, 30, false],
    [7, 2, true],
    [1, 1, false],
  ] as const) {
    const F = 6;
    const data = flat ? new Float32Array(N * F).fill(1) : randoms(random, N * F);
    const labels = Array.from({ length: N }, (_, n) => n % K);
    const classes = Array.from({ length: K + 1 }, (_, c) => `class <${c}>`); // the last has no images
    const map = featureMap('Mine', { data, labels }, F, classes);
    assert.equal(map.labels, labels);
    const html = mapFigure(map);
    assert.not.match(html, /NaN|undefined|Infinity|class </);
    const points = [...html.matchAll(/M([-\d.]+) ([-\d.]+)h0/g)].map(([, x, y]) => [Number(x), Number(y)]);
    assert.is(points.length, N);
    for (const [x, y] of points) assert.ok(x >= 0 && x <= 600 && y >= 0 && y <= 460, `${x}, ${y}`);
    assert.is((html.match(/<text /g) ?? []).length, K > 24 ? 0 : K);
    assert.is((html.match(/<small>/g) ?? []).length, K);
  }
  const many = featureMap('Mine', { data: randoms(random, 1500 * 2), labels: new Int32Array(1500) }, 2, ['a']);
  assert.is(many.x.length, 1000);
});

test('a report is extended once for a name, keeps the rest, and takes the present style', () => {
  const page = renderPage({ title: 't', kicker: 'k', lead: 'l', main: `<p>before</p>${resultsHere}<p>after</p>` });
  const old = page.replace(/<style>[\s\S]*<\/style>/, '<style>old style</style>');
  const one = extendReport(old, 'f', 'a', 'ALPHA $1');
  assert.is(
    one,
    page.replace(resultsHere, () => `<!-- result a -->\nALPHA $1\n<!-- end of a -->\n${resultsHere}`),
  );
  const two = extendReport(one, 'f', 'a-b', 'BETA');
  assert.ok(two.indexOf('ALPHA') < two.indexOf('BETA') && two.indexOf('BETA') < two.indexOf('after'));
  const renewed = extendReport(two, 'f', 'a', 'GAMMA');
  assert.not.match(renewed, 'ALPHA');
  assert.ok(renewed.indexOf('GAMMA') < renewed.indexOf('BETA'));
  assert.is(extendReport(renewed, 'f', 'a', 'GAMMA'), renewed);

  const earlier = page.replace(resultsHere, ''); // of a version that knew no results
  assert.match(
    extendReport(earlier, 'f', 'a', 'late'),
    /after<\/p>\n<!-- result a -->\nlate\n<!-- end of a -->\n<\/main>/,
  );
  const alone = extendReport(undefined, 'f', 'a', 'alone');
  assert.match(extendReport(alone, 'f', 'b', 'joined'), /alone[\s\S]*joined[\s\S]*<\/main>/);
});

test('what is no report of slimgrad is left alone', async () => {
  for (const page of ['', '<title>mine</title><main></main>', '<title>slimgrad: cut'])
    await rejects(() => extendReport(page, 'f.html', 'a', 's'), DataError, /^f\.html: expected a report of slimgrad/);
});

test.run();
