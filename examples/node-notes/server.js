// The HTTP side of the notes, and the process: it listens on $PORT and ends its requests before it goes.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';

import { LONGEST_NOTE, Notes } from './notes.js';

export function serve(notes, page) {
  return createServer((request, response) => {
    handle(notes, page, request, response).catch((error) => {
      console.error(error);
      if (!response.headersSent) answer(response, 500, { error: 'internal error' });
    });
  });
}

async function handle(notes, page, request, response) {
  const { pathname } = new URL(request.url, 'http://localhost');
  if (pathname === '/health') return answer(response, 200, { status: 'ok' });
  if (pathname === '/' && request.method === 'GET') {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
    return response.end(page);
  }
  if (pathname !== '/api/notes') return answer(response, 404, { error: 'not found' });
  if (request.method === 'GET') return answer(response, 200, notes.list());
  if (request.method !== 'POST') return answer(response, 405, { error: 'GET or POST' });

  const body = await read(request);
  let text;
  try {
    text = JSON.parse(body).text;
  } catch {
    return answer(response, 400, { error: 'the body must be JSON' });
  }
  if (typeof text !== 'string' || text.trim() === '' || text.length > LONGEST_NOTE) {
    return answer(response, 400, { error: `text must have 1 to ${LONGEST_NOTE} characters` });
  }
  answer(response, 201, await notes.add(text.trim()));
}

async function read(request) {
  const pieces = [];
  let size = 0;
  for await (const piece of request) {
    size += piece.length;
    if (size > 10 * LONGEST_NOTE) break;
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

function answer(response, status, value) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const notes = await Notes.load(process.env.NOTES_FILE ?? 'data/notes.json');
  const page = await readFile(new URL('public/index.html', import.meta.url));
  const server = serve(notes, page);
  server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
    console.log(`listening on ${server.address().port}`);
  });
  process.on('SIGTERM', () => {
    server.close(() => process.exit(0));
    server.closeIdleConnections();
  });
}
