// The rules of Grafana's plugin validator that need no network, on the entries {name, data, mode} of an archive.

const TOP = ['plugin.json', 'module.js', 'module.js.map', 'README.md', 'CHANGELOG.md', 'LICENSE'];
const FORBIDDEN = ['standalone.txt', 'pid.txt', 'go_plugin_build_manifest', '.DS_Store'];
const ID = /^[0-9a-z]+-([0-9a-z]+-)?(app|panel|datasource)$/;
const FLAGS = [
  'alerting',
  'annotations',
  'backend',
  'logs',
  'metrics',
  'streaming',
  'tracing',
  'autoEnabled',
  'hideFromList',
  'preload',
];
const KEYS = [
  '$schema',
  'type',
  'name',
  'id',
  'category',
  'executable',
  'queryOptions',
  'info',
  'dependencies',
  'includes',
  'languages',
  'routes',
  'iam',
  ...FLAGS,
];

/** What the validator would object to, in words. */
export function faults(entries) {
  const found = [];
  const expect = (ok, fault) => ok || found.push(fault);
  const plugin = parse(entries.find(({ name }) => name.endsWith('/plugin.json')));
  if (!plugin) {
    return ['plugin.json is missing or no JSON'];
  }
  const text = (path) => entries.find(({ name }) => name === `${plugin.id}/${path}`)?.data.toString('utf8');
  expect(ID.test(plugin.id), `id ${plugin.id}: not <org>-<name>-<type>`);
  expect(
    entries.every(({ name }) => name.startsWith(`${plugin.id}/`)),
    `not everything lies in ${plugin.id}/`,
  );
  for (const name of TOP) {
    expect(text(name)?.trim(), `${name} is missing or empty`);
  }
  for (const { name } of entries) {
    expect(!FORBIDDEN.includes(name.split('/').at(-1)), `${name} is a left-over`);
  }
  for (const language of plugin.languages ?? []) {
    const path = `locales/${language}/${plugin.id}.json`;
    expect(parse({ data: text(path) ?? '' }), `plugin.json names ${language}, but ${path} is missing or no JSON`);
  }
  found.push(...metadata(plugin), ...program(plugin, entries), ...images(plugin, text));
  const readme = text('README.md') ?? '';
  expect(readme.length > 500 && !/Grafana .* plugin template|lorem ipsum/i.test(readme), 'README.md says nothing');
  expect((text('CHANGELOG.md') ?? '').includes('##'), 'CHANGELOG.md has no entry');
  expect(/Apache License|MIT License|GNU/.test(text('LICENSE') ?? ''), 'LICENSE is no licence that Grafana takes');
  expect(/^\s*(\(function\(|define\()/.test(text('module.js') ?? ''), 'module.js is no AMD module');
  expect(parse({ data: text('module.js.map') ?? '' })?.sources?.length > 0, 'module.js.map maps nothing');
  return found;
}

function metadata(plugin) {
  const found = [];
  const expect = (ok, fault) => ok || found.push(fault);
  for (const key of Object.keys(plugin)) {
    expect(KEYS.includes(key), `plugin.json: ${key} is not in the schema`);
  }
  for (const flag of FLAGS.filter((flag) => flag in plugin)) {
    expect(typeof plugin[flag] === 'boolean', `plugin.json: ${flag} is not true or false`);
  }
  const { info = {}, dependencies = {} } = plugin;
  expect(/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(info.version ?? ''), `plugin.json: version ${info.version}`);
  expect(/^\d{4}-\d{2}-\d{2}$/.test(info.updated ?? ''), `plugin.json: updated ${info.updated}`);
  expect(info.description && info.author?.name && info.keywords?.length, 'plugin.json: info lacks a part');
  expect(/^>=\d+\.\d+\.\d+/.test(dependencies.grafanaDependency ?? ''), 'plugin.json: no grafanaDependency');
  return found;
}

/** A backend needs its program, executable by all, and alerting needs a backend. */
function program(plugin, entries) {
  const programs = entries.filter(({ name }) => name.startsWith(`${plugin.id}/${plugin.executable}_`));
  const found = [];
  if (plugin.alerting && !plugin.backend) {
    found.push('plugin.json: alerting without a backend');
  }
  if (plugin.backend && programs.length === 0) {
    found.push(`no program ${plugin.executable}_<os>_<arch>`);
  }
  for (const { name, mode } of programs) {
    if (mode !== 0o755) {
      found.push(`${name} has mode ${mode.toString(8)}, not 755`);
    }
  }
  for (const { name, mode } of entries.filter((entry) => !programs.includes(entry))) {
    if (mode & 0o111) {
      found.push(`${name} is executable`);
    }
  }
  return found;
}

function images(plugin, text) {
  const { logos = {}, screenshots = [] } = plugin.info ?? {};
  const paths = [logos.small, logos.large, ...screenshots.map(({ path }) => path)];
  return paths.filter((path) => !path || !text(path)).map((path) => `plugin.json names ${path}, which is not there`);
}

function parse(entry) {
  try {
    return JSON.parse(entry.data.toString('utf8'));
  } catch {
    return undefined;
  }
}
