// Which encoders methods take: those that slice one take two widths, all others one.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Encoder } from '../../src/encoders/encoder.js';
import { mobilenetV1 } from '../../src/encoders/mobilenet_v1.js';
import { ConfigError } from '../../src/errors.js';
import { barlowTwins } from '../../src/methods/barlow_twins.js';
import { byol } from '../../src/methods/byol.js';
import { disco } from '../../src/methods/disco.js';
import type { Method } from '../../src/methods/method.js';
import { mocoV2 } from '../../src/methods/moco_v2.js';
import { oss } from '../../src/methods/oss.js';
import { rekd } from '../../src/methods/rekd.js';
import { sacl } from '../../src/methods/sacl.js';
import { saclXd } from '../../src/methods/sacl_xd.js';
import { seed } from '../../src/methods/seed.js';
import { sslSmall } from '../../src/methods/ssl_small.js';
import { xd } from '../../src/methods/xd.js';

const encoder = (ratio: number) => mobilenetV1({ width: 0.25, ratio, blocks: [[64, 2]] });
const [one, two] = [encoder(1), encoder(1.5)];

const lone: Readonly<Record<string, (encoder: Encoder) => Method>> = {
  xd,
  barlowTwins,
  mocoV2,
  byol,
  seed,
  disco,
  sslSmall,
  rekd: (small) => rekd(small, two),
  oss: (small) => oss(small, two),
};

for (const [name, make] of Object.entries(lone))
  test(`${name} takes an encoder of one width, and says so of another`, () => {
    const { encoders, sliced } = make(one);
    assert.is(encoders.slim, one);
    assert.is(sliced, false);
    const refused = (wrong: Encoder, message: RegExp) =>
      assert.throws(
        () => make(wrong),
        (error: Error) => error instanceof ConfigError && message.test(error.message),
      );
    refused(
      two,
      /^encoder: expected one width, .* got features\.0\.0\.weight \(12, 3, 3, 3\) in the host and \(8, 3, 3, 3\) in the slim one; make it with ratio 1$/,
    );
    refused({ ...one, features: { host: 24, slim: 16 } }, /got 24 features of the host and 16 of the slim one/);
  });

for (const [name, make] of Object.entries({ rekd, oss }))
  test(`${name}: the host is the wide encoder, as wide as its host`, () => {
    const { encoders } = make(one, two);
    assert.is(encoders.host.features.host, 24);
    assert.equal(encoders.host.parameters[0].name, 'teacher.features.0.0.weight');
  });

for (const [name, make] of Object.entries({ saclXd, sacl }))
  test(`${name} slices an encoder of two widths, or of one that is both`, () => {
    for (const each of [one, two]) {
      const { encoders, sliced } = make(each, { bn: 'private' });
      assert.is(encoders.host, each);
      assert.is(encoders.slim, each);
      assert.equal(sliced, { bn: 'private' });
    }
  });

test.run();
