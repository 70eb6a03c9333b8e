import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import i18next from 'i18next';
import plugin from '../../src/plugin.json';
import { filled, overlaid } from '../../src/text';

const folder = join(__dirname, '../../src/locales');
const words = (language: string) => JSON.parse(readFileSync(join(folder, language, `${plugin.id}.json`), 'utf8'));

/** Every sentence by its path, as the names that are filled into it. */
function sentences(value: unknown, path = ''): Array<[string, string]> {
  return typeof value === 'string'
    ? [[path, (value.match(/\{\{\w+\}\}/g) ?? []).sort().join(' ')]]
    : Object.entries(value as object).flatMap(([name, inner]) => sentences(inner, `${path}.${name}`));
}

test('Grafana is told of every language there is', () => {
  expect(readdirSync(folder).sort()).toEqual([...plugin.languages].sort());
});

test.each(plugin.languages)('%s has every sentence, with the same to fill in', (language) => {
  expect(sentences(words(language)).sort()).toEqual(sentences(words('en-US')).sort());
});

test('a sentence that a translation lacks stays English', () => {
  const english = { a: 'one', b: { c: 'two', d: 'three' } };
  expect(overlaid(english, { b: { c: 'zwei', d: '' }, e: 'mehr' })).toEqual({ a: 'one', b: { c: 'zwei', d: 'three' } });
  expect(overlaid(english, undefined)).toEqual(english);
});

test('the words are those that Grafana loaded for the plugin', async () => {
  const german = { [plugin.id]: { types: { runs: { label: 'Läufe' } } } };
  await i18next.init({ lng: 'de-DE', resources: { 'de-DE': german } });
  jest.resetModules();
  jest.doMock('i18next', () => i18next);
  const { text } = jest.requireActual<typeof import('../../src/text')>('../../src/text');
  expect(text.types.runs.label).toBe('Läufe');
  expect(text.types.metrics.label).toBe('Metrics');
});

test('values go into a sentence as they are', () => {
  expect(filled('{{a}} of {{b}} in {{c}}', { a: 1, b: '<$&>' })).toBe('1 of <$&> in {{c}}');
});
