// Where the cache lies: never below the working folder, and somewhere whatever the environment lacks.
import { tmpdir } from 'node:os';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { cacheFolders } from '../../src/node/system/cache.js';

const home = () => '/home/me';
const temporary = () => '/scratch';
const shared = `/scratch/slimgrad-${process.geteuid?.()}`;
const nobody = () => {
  throw new Error('ENOENT: uv_os_homedir');
};

test('XDG_CACHE_HOME comes first, then .cache at home, and the temporary folder last', () => {
  assert.equal(cacheFolders({ XDG_CACHE_HOME: '/somewhere' }, home, temporary), ['/somewhere/slimgrad', shared]);
  assert.equal(cacheFolders({}, home, temporary), ['/home/me/.cache/slimgrad', shared]);
  assert.ok(cacheFolders()[1].startsWith(tmpdir()));
});

test('relative paths do not count, whoever names them', () => {
  for (const relative of ['', '.', 'cache', './cache', '../cache']) {
    assert.equal(cacheFolders({ XDG_CACHE_HOME: relative }, home, temporary), ['/home/me/.cache/slimgrad', shared]);
    assert.equal(
      cacheFolders({}, () => relative, temporary),
      [shared],
    );
    assert.is(cacheFolders({}, home, () => relative)[1], shared.replace('/scratch', '/tmp'));
  }
});

test('where nobody knows a home, the temporary folder is left', () => {
  assert.equal(cacheFolders({}, nobody, temporary), [shared]);
  assert.equal(cacheFolders({ XDG_CACHE_HOME: '/somewhere' }, nobody, temporary), ['/somewhere/slimgrad', shared]);
});

test.run();
