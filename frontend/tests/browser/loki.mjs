// A Loki that answers what a real one once did: the responses recorded in tests/captures/loki.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

/** Starts it on a free port; resolves to its address, with a way to stop it and the paths that were asked. */
export async function recordedLoki(root) {
  const recorded = (name) => readFileSync(join(root, 'tests/captures/loki', `${name}.body.json`));
  const asked = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://loki');
    asked.push(pathname);
    const name = answer(pathname.replace('/loki/api/v1', ''));
    response.writeHead(name ? 200 : 404, { 'Content-Type': 'application/json; charset=UTF-8' });
    response.end(name ? recorded(name) : '404 page not found');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { address: `http://127.0.0.1:${server.address().port}`, asked, stop: () => server.close() };
}

function answer(path) {
  switch (path) {
    case '/labels':
      return 'labels';
    case '/label/app/values':
      return 'label-values-app';
    case '/index/stats':
      return 'flushed-index-stats';
    case '/query_range':
      return 'query_range-streams-forward';
    case '/status/buildinfo':
      return 'buildinfo';
    default:
      return path.startsWith('/label/') ? 'label-values-unknown' : undefined;
  }
}
