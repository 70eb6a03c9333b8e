import type { DataSourceSettings } from '@grafana/data';
import { models, prompts } from '../../src/catalog';
import { changeServer, form, modelKey, pruned } from '../../src/form';
import { healthText, sections } from '../../src/health';
import type { Secrets, Settings } from '../../src/types';
import { variableName } from '../../src/variableName';

type Options = DataSourceSettings<Settings, Secrets>;

function edited(options: Partial<Options>) {
  let current = { jsonData: {}, secureJsonFields: {}, ...options } as Options;
  const open = () => form({ options: current, onOptionsChange: (next) => (current = next) });
  return { open, options: () => current };
}

test('an emptied setting leaves nothing behind, so that the default holds', () => {
  const page = edited({ jsonData: { budget: 900, guard: { mode: 'warn' }, storePathStyle: false } });
  page.open().set('budget', undefined);
  page.open().set('guard', { maxBytes: undefined });
  page.open().set('storeUrl', '');
  expect(page.options().jsonData).toEqual({ storePathStyle: false });
  expect(pruned({ a: Number.NaN, b: { c: [] }, d: 0 })).toEqual({ d: 0 });
});

test('a secret is written, never read, and can be forgotten', () => {
  const page = edited({ secureJsonFields: { hashKey: true } });
  expect(page.open().isConfigured('hashKey')).toBe(true);
  expect(page.open().secret('hashKey')).toBe('');
  page.open().setSecret(modelKey('qwen'), 'key');
  page.open().resetSecret('hashKey');
  expect(page.options()).toMatchObject({
    secureJsonFields: { hashKey: false },
    secureJsonData: { 'modelApiKey.qwen': 'key', hashKey: '' },
  });
});

test('a key that was typed follows the name of its server, and a stored one stays where it is', () => {
  const page = edited({ jsonData: { modelServers: [{ name: 'q', url: 'u' }] }, secureJsonFields: { hashKey: true } });
  page.open().setSecret(modelKey('q'), 'key');
  changeServer(page.open(), 0, { name: 'qwen', url: 'u' });
  expect(page.options().secureJsonData).toEqual({ 'modelApiKey.qwen': 'key' });
  changeServer(page.open(), 0, { name: 'qwen', url: 'v' });
  expect(page.options()).toMatchObject({
    jsonData: { modelServers: [{ name: 'qwen', url: 'v' }] },
    secureJsonData: { 'modelApiKey.qwen': 'key' },
    secureJsonFields: { hashKey: true },
  });
});

test('the health report is read section by section, and what is none is left out', () => {
  const details = {
    sections: [
      { name: 'loki', status: 'ok', message: 'Loki answers' },
      { name: 'models', status: 'error', message: 'qwen is away', hint: 'start it' },
      { name: 'odd', status: 'great', message: 'x' },
      null,
    ],
  };
  expect(healthText(sections(details))).toBe('✓ Loki answers\n✗ qwen is away: start it');
  expect(sections('text')).toEqual([]);
});

test('pickers tell the measured quality with its interval, or that there is none', () => {
  const rows = [
    { prompt: 'triage@3', status: 'draft', root_cause: null, ci_low: null, ci_high: null, description: null },
    { prompt: 'triage@2', status: 'released', root_cause: 0.8123, ci_low: 0.74, ci_high: 0.87, description: 'All' },
  ];
  expect(prompts(rows).map(({ value, description }) => [value, description])).toEqual([
    ['route', 'Let the routing rules choose by labels and content'],
    ['triage@2', 'root cause 0.81 [0.74, 0.87] · released · All'],
    ['triage@3', 'not measured · draft'],
  ]);
});

test('a model is shown with the best that was measured with it, whether or not it is installed here', () => {
  const tradeoff = [
    { model: 'qwen', quantization: 'Q4', root_cause: 0.5, ci_low: 0.4, ci_high: 0.6 },
    { model: 'qwen', quantization: 'Q4', root_cause: 0.7, ci_low: 0.6, ci_high: 0.8 },
    { model: 'old', quantization: 'Q8', root_cause: 0.3 },
  ];
  const options = models([{ name: 'qwen', quantization: 'Q4_K_M', loaded: true }], tradeoff);
  expect(options.map(({ value, description }) => [value, description])).toEqual([
    ['qwen', 'root cause 0.70 [0.60, 0.80] · Q4_K_M · loaded'],
    ['old', 'root cause 0.30 · Q8'],
  ]);
});

test('a variable is stored as plain text, and other shapes are understood', () => {
  expect(['arms', { variable: 'models' }, { refId: 'x', query: 'splits' }, undefined, ''].map(variableName)).toEqual([
    'arms',
    'models',
    'splits',
    'runs',
    'runs',
  ]);
});
