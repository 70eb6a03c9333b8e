// A Loki that answers what a real one once did: the responses recorded in tests/captures/loki, the log lines moved to just
// before the end of the range that is asked for.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

/** Starts it on a free port; resolves to its address, with a way to stop it. */
export async function recordedLoki(root) {
  const recorded = (name) => readFileSync(join(root, 'tests/captures/loki', `${name}.body.json`));
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://loki');
    const name = answer(pathname.replace('/loki/api/v1', ''));
    response.writeHead(name ? 200 : 404, { 'Content-Type': 'application/json; charset=UTF-8' });
    const body = name ? recorded(name) : '404 page not found';
    response.end(pathname.endsWith('/query_range') ? moved(body, BigInt(searchParams.get('end'))) : body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { address: `http://127.0.0.1:${server.address().port}`, stop: () => server.close() };
}

/** The recorded streams, so that the last entry lies a second before `end`, in nanoseconds. */
function moved(body, end) {
  const answer = JSON.parse(body);
  const entries = answer.data.result.flatMap(({ values }) => values);
  const last = BigInt(
    entries
      .map(([at]) => at)
      .sort()
      .at(-1),
  );
  for (const entry of entries) {
    entry[0] = String(BigInt(entry[0]) + end - last - 1_000_000_000n);
  }
  return JSON.stringify(answer);
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
