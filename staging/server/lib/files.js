// Files: the bytes go to object storage; a receipt with size and hash stays in the data folder. What has no receipt was
// never stored: a crash or a full disk between the two leaves nothing that looks whole.

import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import express, { Router } from 'express';
import { S3mini } from 's3mini';
import { Problem, unavailable } from './problems.js';

const LIMIT = '5mb';
const TIMEOUT_MS = 4000;

export function createStorage(config) {
  const s3 = new S3mini({
    endpoint: `${config.s3Endpoint.replace(/\/$/, '')}/${config.s3Bucket}`,
    region: config.s3Region,
    accessKeyId: config.s3AccessKeyId,
    secretAccessKey: config.s3SecretAccessKey,
    requestAbortTimeout: TIMEOUT_MS,
  });
  async function reach() {
    if (!await s3.bucketExists()) throw Object.assign(new Error('no such bucket'), { code: 'NoSuchBucket' });
  }
  return { s3, reach };
}

export function fileRoutes({ storage: { s3 }, dataDir }) {
  const folder = join(dataDir, 'receipts');
  const router = Router();

  function readName(req) {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(req.params.name)) {
      throw new Problem(400, 'A name has letters, digits, dots, dashes and underscores, and starts with a letter or digit');
    }
    return req.params.name;
  }

  async function withStorage(work) {
    try {
      return await work();
    } catch (error) {
      throw Object.assign(unavailable('The storage can not be reached'), { cause: error });
    }
  }

  async function readReceipt(name) {
    try {
      return JSON.parse(await readFile(join(folder, `${name}.json`), 'utf8'));
    } catch (error) {
      if (error.code === 'ENOENT') throw new Problem(404, 'There is no such file');
      throw error;
    }
  }

  async function writeReceipt(receipt) {
    await mkdir(folder, { recursive: true });
    const part = join(folder, `${receipt.name}.${randomUUID()}.part`);
    try {
      await writeFile(part, JSON.stringify(receipt), { flush: true });
      await rename(part, join(folder, `${receipt.name}.json`));
    } catch (error) {
      await rm(part, { force: true });
      throw error;
    }
  }

  // Bytes are kept under their own hash, so that name and bytes can't be of two uploads.
  const objectKey = (receipt) => `${receipt.name}/${receipt.sha256}`;

  router.put('/api/files/:name', express.raw({ type: () => true, limit: LIMIT }), async (req, res) => {
    const name = readName(req);
    const body = req.body ?? Buffer.alloc(0);
    const receipt = {
      name,
      bytes: body.length,
      sha256: createHash('sha256').update(body).digest('hex'),
      content_type: 'application/octet-stream',
      stored_at: new Date().toISOString(),
    };
    await withStorage(() => s3.putObject(objectKey(receipt), body, receipt.content_type));
    await writeReceipt(receipt);
    res.status(201).json(receipt);
  });

  router.get('/api/files/:name', async (req, res) => {
    const receipt = await readReceipt(readName(req));
    const bytes = await withStorage(() => s3.getObjectArrayBuffer(objectKey(receipt)));
    const body = bytes && Buffer.from(bytes);
    if (!body || createHash('sha256').update(body).digest('hex') !== receipt.sha256) {
      throw new Problem(500, 'The stored bytes are not those of the receipt');
    }
    // What others uploaded is saved, never shown: it must not run in this site's name.
    res.set({ 'Content-Disposition': 'attachment', 'Cache-Control': 'private, no-cache', ETag: `"${receipt.sha256}"` });
    res.type(receipt.content_type).send(body);
  });

  router.delete('/api/files/:name', async (req, res) => {
    const receipt = await readReceipt(readName(req));
    await rm(join(folder, `${receipt.name}.json`), { force: true });
    await withStorage(() => s3.deleteObject(objectKey(receipt)));
    res.status(204).end();
  });

  return router;
}
