import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { Notes } from '../notes.js';
import { serve } from '../server.js';

let folder, server, base;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'notes-'));
  server = serve(await Notes.load(join(folder, 'notes.json')), '<h1>Notes</h1>');
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  base = `http://127.0.0.1:${server.address().port}`;
});

after(async () => {
  server.closeAllConnections();
  await new Promise((closed) => server.close(closed));
  await rm(folder, { recursive: true });
});

const post = (body) => fetch(`${base}/api/notes`, { method: 'POST', body });

test('a note is kept', async () => {
  const made = await post(JSON.stringify({ text: ' milk ' }));
  assert.equal(made.status, 201);
  assert.deepEqual(await made.json(), { id: 1, text: 'milk' });
  assert.deepEqual((await Notes.load(join(folder, 'notes.json'))).list(), [{ id: 1, text: 'milk' }]);
});

test('notes added at once are all kept', async () => {
  const before = (await (await fetch(`${base}/api/notes`)).json()).length;
  await Promise.all(Array.from({ length: 20 }, (_, number) => post(JSON.stringify({ text: `note ${number}` }))));
  const kept = (await Notes.load(join(folder, 'notes.json'))).list();
  assert.equal(kept.length, before + 20);
  assert.equal(new Set(kept.map((note) => note.id)).size, kept.length);
});

test('what is no note is refused', async () => {
  for (const body of ['', '{', '{"text":""}', '{"text":7}', JSON.stringify({ text: 'x'.repeat(1001) })]) {
    assert.equal((await post(body)).status, 400, body.slice(0, 20));
  }
});

test('the page and the health check answer', async () => {
  assert.equal((await fetch(`${base}/`)).status, 200);
  assert.equal((await fetch(`${base}/health`)).status, 200);
  assert.equal((await fetch(`${base}/other`)).status, 404);
});
