import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
// @ts-expect-error: a script without types
import { zip } from '../../package.mjs';
// @ts-expect-error: a script without types
import { faults } from '../../validate.mjs';

interface Entry {
  name: string;
  data: Buffer;
  mode: number;
}

const id = 'assay-logs-datasource';
const root = join(__dirname, '../../..');
const file = (path: string) => readFileSync(join(root, path));
const entry = (name: string, data: Buffer | string, mode = 0o644): Entry => ({
  name: `${id}/${name}`,
  data: Buffer.from(data),
  mode,
});

const locale = (language: string) => {
  const path = `locales/${language}/${id}.json`;
  return entry(path, file(`frontend/src/${path}`));
};

/** The archive as `./just package` would make it, apart from the program and the bundle. */
function archive(): Entry[] {
  const plugin = file('frontend/src/plugin.json')
    .toString()
    .replace('%VERSION%', '0.1.0')
    .replace('%TODAY%', '2026-11-24');
  return [
    entry('plugin.json', plugin),
    entry('module.js', 'define(["react"],function(){return {}});'),
    entry('module.js.map', '{"sources":["src/module.ts"]}'),
    entry('README.md', file('frontend/README.md')),
    entry('CHANGELOG.md', file('CHANGELOG.md')),
    entry('LICENSE', file('LICENSE')),
    entry('img/logo.svg', file('frontend/src/img/logo.svg')),
    ...JSON.parse(plugin).info.screenshots.map(({ path }: { path: string }) =>
      entry(path, file(`docs/images/${path.split('/').at(-1)}`)),
    ),
    ...JSON.parse(plugin).languages.map((language: string) => locale(language)),
    entry('gpx_assay_linux_amd64', 'ELF', 0o755),
  ];
}

test('the plugin is as Grafana wants it', () => {
  expect(faults(archive())).toEqual([]);
});

test.each<[string, (entries: Entry[]) => Entry[], RegExp]>([
  ['a program that cannot be run', (all) => all.map((e) => (e.mode === 0o755 ? { ...e, mode: 0o644 } : e)), /mode 644/],
  ['no program', (all) => all.filter((e) => !e.name.includes('gpx_')), /no program gpx_assay/],
  ['no source map', (all) => all.filter((e) => !e.name.endsWith('.map')), /module.js.map is missing/],
  ['a left-over', (all) => [...all, entry('pid.txt', '1')], /pid.txt is a left-over/],
  ['another folder', (all) => [...all, { ...entry('x', ''), name: 'other/x' }], /not everything lies in/],
  ['a key of no schema', (all) => changed(all, { tracking: true }), /tracking is not in the schema/],
  ['alerting without a backend', (all) => changed(all, { backend: false }), /alerting without a backend/],
  [
    'a logo that is not there',
    (all) => all.filter((e) => !e.name.endsWith('.svg')),
    /img\/logo.svg, which is not there/,
  ],
  ['a language without its words', (all) => changed(all, { languages: ['fr-FR'] }), /locales\/fr-FR\/.* is missing/],
  [
    'a placeholder',
    (all) => [entry('plugin.json', file('frontend/src/plugin.json')), ...all.slice(1)],
    /version %VERSION%/,
  ],
])('%s is refused', (_, change, expected) => {
  expect(faults(change(archive())).join('\n')).toMatch(expected);
});

function changed(entries: Entry[], fields: object): Entry[] {
  return entries.map((e) =>
    e.name.endsWith('plugin.json')
      ? { ...e, data: Buffer.from(JSON.stringify({ ...JSON.parse(e.data.toString()), ...fields })) }
      : e,
  );
}

test('versions agree', () => {
  const { version } = JSON.parse(file('frontend/package.json').toString());
  expect(file('Cargo.toml').toString()).toContain(`\nversion = "${version}"`);
});

test('an archive unpacks to what went in, modes included, and is the same each time', () => {
  const bytes = zip(archive());
  expect(zip(archive()).equals(bytes)).toBe(true);
  const folder = mkdtempSync(join(tmpdir(), 'assay-'));
  try {
    const script =
      'import sys,io,zipfile\nz=zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read()))\nassert z.testzip() is None\n' +
      'print("\\n".join(f"{i.filename} {i.external_attr >> 16:o} {i.file_size}" for i in z.infolist()))';
    const listed = execFileSync('python3', ['-c', script], { input: bytes, cwd: folder }).toString().trim().split('\n');
    expect(listed).toEqual(
      archive().map(({ name, data, mode }) => `${name} ${(0o100000 | mode).toString(8)} ${data.length}`),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
