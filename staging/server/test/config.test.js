import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { readConfig } from '../lib/config.js';

const GOOD = {
  TRUEGATE_PROFILE: 'staging', PORT: '18000', METRICS_PORT: '18001', WORKER_METRICS_PORT: '18002',
  DATABASE_URL: 'postgresql://app:pw@127.0.0.1/app', REDIS_URL: 'redis://:pw@127.0.0.1:6379', S3_ENDPOINT: 'http://127.0.0.1:7070',
  S3_REGION: 'us-east-1', S3_BUCKET: 'files', S3_ACCESS_KEY_ID: 'id', S3_SECRET_ACCESS_KEY: 'hunter2-hunter2',
  NEXT_PUBLIC_APP_URL: 'http://127.0.0.1:18003', REVALIDATE_SECRET: '0123456789abcdef', DATA_DIR: 'data', LOG_DIR: 'log', FLAGS_FILE: 'flags.json',
};

test('a whole environment is read, with defaults', () => {
  const { config, faults } = readConfig(GOOD);
  assert.deepEqual(faults, []);
  assert.equal(config.host, '127.0.0.1');
  assert.equal(config.port, 18000);
  assert.equal(config.controls, false);
  assert.equal(config.edgeCacheDir, '');
  assert.ok(Object.isFrozen(config));
});

test('all faults are told at once, by name and without values', () => {
  const { faults } = readConfig({ ...GOOD, PORT: '99999', DATABASE_URL: 'mysql://hunter2', REVALIDATE_SECRET: 'short', S3_BUCKET: '' });
  assert.equal(faults.length, 4);
  for (const name of ['PORT', 'DATABASE_URL', 'REVALIDATE_SECRET', 'S3_BUCKET']) assert.ok(faults.some((fault) => fault.startsWith(`${name} `)), name);
  assert.doesNotMatch(faults.join('\n'), /hunter2|99999|short/);
});

test('control endpoints are refused in prod', () => {
  const { faults } = readConfig({ ...GOOD, TRUEGATE_PROFILE: 'prod', TRUEGATE_CONTROLS: '1' });
  assert.deepEqual(faults, ['TRUEGATE_CONTROLS must not be 1 when TRUEGATE_PROFILE is prod']);
});

for (const script of ['index.js', 'worker.js']) {
  test(`${script} ends with 2 and says what is missing`, () => {
    const path = fileURLToPath(new URL(`../${script}`, import.meta.url));
    const { status, stderr } = spawnSync(process.execPath, [path], { env: { PATH: process.env.PATH, DATABASE_URL: 'hunter2' }, encoding: 'utf8' });
    assert.equal(status, 2);
    assert.match(stderr, /REDIS_URL is not set/);
    assert.match(stderr, /DATABASE_URL must be an address/);
    assert.doesNotMatch(stderr, /hunter2/);
  });
}
