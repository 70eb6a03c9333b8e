// What a user does, and what must then be there.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const sources = join(dirname(fileURLToPath(import.meta.url)), '../../src');
const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

/** What Grafana's own components fail at, rule by rule: nodes that match or lie in one of these. All else is ours. */
const GRAFANAS = {
  // The arrow of Grafana's multi-combobox.
  'aria-allowed-attr': ['[id^=downshift-][id$=-toggle-button]'],
  // The page's own button, in Grafana's colours of a primary one.
  'color-contrast': ['[data-testid=grafana]'],
  // @grafana/plugin-ui calls its authentication methods h6 below an h3; the settings have no h6 of ours.
  'heading-order': ['form h6'],
  // Where the cells of Grafana's table scroll.
  'scrollable-region-focusable': ['[data-testid="data-testid table body"]'],
};

/** Points the data source at the recorded Loki, as a provisioning file would. */
async function connect({ address, loki }) {
  const place = `${address}/api/datasources/uid/assay`;
  const source = await (await fetch(place)).json();
  await fetch(place, { method: 'PUT', body: JSON.stringify({ ...source, url: loki }) });
}

async function open({ page, address }, parameters) {
  await page.goto(`${address}/page/?${new URLSearchParams(parameters)}`);
  await page.locator('main h1').waitFor();
}

/** Waits for an answer and gives the text of a frame's table. */
async function frame(page, name) {
  const section = page.getByTestId(`frame-${name}`);
  await section.waitFor();
  return section.textContent();
}

/** The frontend's tables of types and fields, as it has them. */
async function tables() {
  const contents = `export * from './query'; export { QUERY_TYPES } from './types';`;
  const stdin = { contents, resolveDir: sources, loader: 'ts' };
  const { outputFiles } = await build({ stdin, bundle: true, format: 'esm', write: false });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
}

/** Every rule of axe holds for every node of ours. */
async function accessible(page) {
  await page.addScriptTag({ path: axe });
  const found = await page.evaluate(async (grafanas) => {
    const { violations } = await window.axe.run('main');
    return violations.flatMap(({ id, nodes }) =>
      nodes
        .filter(({ target }) => !document.querySelector(target[0])?.closest(grafanas[id]?.join() || 'nothing'))
        .map(({ html, target, failureSummary }) => `${id}: ${html.slice(0, 200)}\n${target}\n${failureSummary}`),
    );
  }, GRAFANAS);
  assert.ok(found.length === 0, found.join('\n'));
}

/** What the plugin takes from each module that Grafana shares, by the names in the bundle's imports. */
async function imports(address) {
  const [, names] = /^define\((\[.*?\])/.exec(await (await fetch(`${address}/plugin/module.js`)).text());
  const { outputFiles } = await build({
    entryPoints: [join(sources, 'module.ts')],
    bundle: true,
    format: 'esm',
    external: JSON.parse(names),
    write: false,
  });
  const statements = [...outputFiles[0].text.matchAll(/^import \{([^}]*)\} from "(.*)";$/gm)];
  return statements.flatMap(([, listed, module]) =>
    listed.split(',').map((name) => [module, name.trim().split(' as ')[0]]),
  );
}

async function shot({ page, shots }, name, clip) {
  if (shots) {
    await page.screenshot({ path: join(shots, `${name}.png`), fullPage: !clip, ...(clip && { clip }) });
  }
}

function quiet(complaints) {
  assert.deepEqual(
    complaints.filter((text) => !/status of 4\d\d|ERR_ABORTED/.test(text)),
    [],
  );
}

const runs = { a: 'triage1-q8', b: 'triage2-q8' };

/** Values that need not exist; what is tested is whether the backend knows the field and takes its form. */
const SAMPLES = {
  metric: 'root_cause',
  expr: '{app="x"}',
  window: '5m',
  limit: '5',
  margin: '0.1',
  repeat: '0',
  anyTime: true,
};

export const scenarios = {
  'the backend knows every field of every query type': async ({ address }) => {
    const { QUERY_TYPES, FIELDS, choicesOf, fieldsOf, kindOf, outgoing, withSubject } = await tables();
    const range = { from: '1790000000000', to: '1790000300000' };
    const bases = QUERY_TYPES.map((queryType) => ({ refId: 'A', queryType }));
    const subjects = ['question', 'run'].map((subject) => withSubject({ refId: 'A', queryType: 'analyze' }, subject));
    let asked = 0;
    for (const base of [...bases, ...subjects]) {
      const { own, filters, required } = fieldsOf(base);
      const sample = (name, choice) => SAMPLES[name] ?? choice ?? (FIELDS[name].kind === 'flag' ? true : 'some');
      const least = Object.fromEntries(required.map((name) => [name, sample(name)]));
      for (const name of [...own, ...filters]) {
        const choices = choicesOf(base, name);
        for (const choice of choices.length > 0 ? choices : [undefined]) {
          const value = sample(name, choice);
          const several = ['values', 'choices'].includes(kindOf(base, name));
          const extra = name === 'quantile' ? { metric: 'latency_ms' } : {};
          const query = outgoing({ ...base, ...least, ...extra, [name]: several ? [value] : value });
          const body = JSON.stringify({ queries: [query], ...range });
          const answer = await (await fetch(`${address}/api/ds/query`, { method: 'POST', body })).json();
          asked += 1;
          const error = answer.results?.A?.error ?? '';
          assert.doesNotMatch(
            error,
            /unknown (field|variant|queryType)|invalid type|neither a text/,
            JSON.stringify(query),
          );
        }
      }
    }
    assert.ok(asked > 60, `${asked} queries`);
  },

  'Grafana has everything that the plugin takes from it': async (it) => {
    await open(it, { view: 'help' });
    const taken = await imports(it.address);
    assert.ok(taken.length > 60, `${taken.length} names`);
    const lacking = await it.page.evaluate(
      (names) => names.filter(([module, name]) => window.SHARED[module]?.[name] === undefined),
      taken,
    );
    assert.deepEqual(lacking, []);
  },

  'a new panel shows what was measured at once': async (it) => {
    await open(it, { view: 'query' });
    await it.page.getByTestId('frame-root_cause').first().waitFor();
    assert.ok((await it.page.getByTestId('frame-root_cause').count()) > 1);
    assert.match(await it.page.getByTestId('frame-root_cause').last().textContent(), /triage2-q8/);
    await accessible(it.page);
    quiet(it.complaints);
  },

  'the runs are a table': async (it) => {
    await open(it, { view: 'query', query: JSON.stringify({ queryType: 'runs' }) });
    const shown = await frame(it.page, 'runs');
    assert.match(shown, /triage2-q8/);
    assert.match(shown, /published/);
    await accessible(it.page);
    quiet(it.complaints);
    await shot(it, 'query-runs-dark');
  },

  'a person sets the data source up, and reads its report': async (it) => {
    const { page, address, loki } = it;
    await open(it, { view: 'config' });
    await page.getByLabel(/^URL/).first().fill(loki);
    await page.getByRole('button', { name: 'Add a server' }).click();
    await page.getByPlaceholder('qwen').fill('assay-demo-q8_0');
    await page.getByPlaceholder('http://llama-server:8080').fill('http://127.0.0.1:9');
    await page.getByLabel('API key').fill('sesame');
    await page.getByRole('button', { name: 'Expand section Guard' }).click();
    await page.getByRole('radio', { name: 'It runs, with a notice' }).check();
    await page.getByLabel('Most bytes').fill('1000000000');
    await page.getByRole('button', { name: 'Save & test' }).click();
    const report = page.getByRole('listitem');
    await report.filter({ hasText: 'Loki' }).first().waitFor();
    const text = (await report.allTextContents()).join('\n');
    assert.match(text, /Store .*\d+ runs/);
    assert.match(text, /Prompts: \d+ versions/);
    assert.match(text, /assay-demo-q8_0/);
    await accessible(page);
    await shot(it, 'config-dark');
    const stored = await (await fetch(`${address}/api/datasources/uid/assay`)).text();
    assert.doesNotMatch(stored, /sesame/);
    assert.deepEqual(JSON.parse(stored).secureJsonFields, { 'modelApiKey.assay-demo-q8_0': true });
    assert.deepEqual(JSON.parse(stored).jsonData.guard, { mode: 'warn', maxBytes: 1_000_000_000 });
    quiet(it.complaints);
  },

  'a stored secret is not shown again, and can be forgotten': async (it) => {
    const { page, address } = it;
    const place = `${address}/api/datasources/uid/assay`;
    const source = await (await fetch(place)).json();
    source.jsonData.modelServers = [{ name: 'assay-demo-q8_0', url: 'http://127.0.0.1:9' }];
    source.secureJsonData = { 'modelApiKey.assay-demo-q8_0': 'sesame' };
    await fetch(place, { method: 'PUT', body: JSON.stringify(source) });
    await open(it, { view: 'config', theme: 'light' });
    assert.equal(await page.getByLabel('API key').inputValue(), 'configured');
    await page.getByText(/Store .* runs/).waitFor();
    await accessible(page);
    await shot(it, 'config-light');
    await page.getByRole('button', { name: 'Remove assay-demo-q8_0' }).click();
    await page.getByRole('button', { name: 'Save & test' }).click();
    await page
      .getByTestId(/^data-testid Alert/)
      .first()
      .waitFor();
    const stored = await (await fetch(place)).json();
    assert.deepEqual(stored.secureJsonFields, {});
    quiet(it.complaints);
  },

  'a provisioned data source cannot be changed, and shows its report at once': async (it) => {
    const { page, address } = it;
    const place = `${address}/api/datasources/uid/assay`;
    const source = await (await fetch(place)).json();
    await fetch(place, { method: 'PUT', body: JSON.stringify({ ...source, readOnly: true }) });
    await open(it, { view: 'config' });
    await page.getByText(/Store .* runs/).waitFor();
    assert.equal(await page.getByLabel(/^URL/).first().isDisabled(), true);
    assert.equal(await page.getByRole('button', { name: 'Add a server' }).isDisabled(), true);
    await page.getByRole('button', { name: 'Check again' }).click();
    await page.getByText(/Store .* runs/).waitFor();
    await fetch(place, { method: 'PUT', body: JSON.stringify({ ...source, readOnly: false }) });
    await accessible(page);
    quiet(it.complaints);
  },

  'LogQL is written with the keyboard, and its route and cost are told before it runs': async (it) => {
    const { page } = it;
    await connect(it);
    await open(it, { view: 'query', app: 'explore', query: JSON.stringify({ queryType: 'analyze', expr: '' }) });
    await page.getByLabel('Logs', { exact: true }).last().click();
    await page.keyboard.press('Enter');
    await page.keyboard.type('app');
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('ArrowRight');
    const expr = page.getByRole('textbox', { name: 'Logs' });
    assert.equal(await expr.inputValue(), '{app}');
    await page.keyboard.press('Backspace');
    await page.getByRole('option', { name: 'app', exact: true }).waitFor();
    await page.keyboard.press('Tab');
    assert.equal(await expr.inputValue(), '{app=""}');
    await page.keyboard.type('check');
    await page.getByRole('option', { name: 'checkout-api' }).waitFor();
    await accessible(page);
    await shot(it, 'completion-dark', { x: 0, y: 0, width: 1548, height: 420 });
    await page.keyboard.press('Enter');
    assert.equal(await expr.inputValue(), '{app="checkout-api"}');
    await expr.blur();
    await page.getByText(/triage@2.*because/).waitFor();
    await page.getByText(/about .* entries/).waitFor();
    await accessible(page);
    quiet(it.complaints);
  },

  'the prompt picker tells the measured quality': async (it) => {
    const { page } = it;
    await open(it, {
      view: 'query',
      query: JSON.stringify({ queryType: 'analyze', expr: '{app="checkout-api"}' }),
      app: 'explore',
    });
    await page.getByLabel('Prompt', { exact: true }).click();
    const option = page.getByRole('option', { name: /^triage@2/ });
    await option.waitFor();
    assert.match(await option.textContent(), /root cause 0\.\d\d \[0\.\d\d, 0\.\d\d\] · released/);
    await accessible(page);
    await shot(it, 'prompts-dark', { x: 0, y: 0, width: 1548, height: 560 });
    await option.click();
    await page.getByText('chosen in the query').waitFor();
    quiet(it.complaints);
  },

  'a question about live logs is answered while one looks on': async (it) => {
    const { page } = it;
    const query = { queryType: 'analyze', expr: '{app="checkout-api"} |= "order"', model: 'rules', window: '1h' };
    await connect(it);
    await open(it, { view: 'query', app: 'explore', query: JSON.stringify(query) });
    await page.getByTestId('frame-progress').or(page.getByTestId('frame-verdict')).first().waitFor();
    const verdict = await frame(page, 'verdict');
    assert.match(verdict, /rules/);
    await page.getByText('Done', { exact: true }).waitFor();
    assert.equal(await page.getByTestId('frame-progress').count(), 0);
    // Explore's table cuts the sentence, so that the editor tells it.
    assert.match(
      await page.getByRole('status', { name: 'Answer' }).textContent(),
      /^(info|warning|error|critical) \w+ .+/,
    );
    await page.getByText(/about .* entries/).waitFor();
    await accessible(page);
    await shot(it, 'explore-dark', { x: 0, y: 0, width: 1548, height: 640 });
    quiet(it.complaints);
  },

  'two variables compare two runs in a sentence': async (it) => {
    const { page } = it;
    const vars = JSON.stringify(runs);
    await open(it, {
      view: 'query',
      theme: 'light',
      vars,
      query: JSON.stringify({ queryType: 'compare', a: '$a', b: '$b' }),
    });
    const shown = await frame(page, 'compare');
    assert.match(shown, /better|worse|equivalent|cannot tell/);
    assert.match(shown, /root_cause/);
    assert.match(await page.getByTestId('sentence').textContent(), /compare \$a with \$b/);
    await accessible(page);
    quiet(it.complaints);
    await shot(it, 'compare-light', { x: 0, y: 0, width: 1548, height: 724 });
  },

  'regressions come first, and a case shows its verdict with evidence': async (it) => {
    const { page } = it;
    const vars = JSON.stringify(runs);
    await open(it, {
      view: 'query',
      vars,
      query: JSON.stringify({ queryType: 'cases', run: '$b', against: '$a', only: 'changed' }),
    });
    assert.match(await frame(page, 'cases'), /regressions, \d+ improvements/);
    await page.getByLabel('Query type').click();
    await page.getByRole('option', { name: /^Analyze/ }).click();
    await page.getByRole('radio', { name: 'Case of a run' }).check();
    const verdict = await frame(page, 'verdict');
    assert.match(verdict, /root_cause/);
    assert.match(verdict, /demo model/);
    await page.getByTestId('frame-evidence').waitFor();
    await page.mouse.move(0, 600);
    await page.getByRole('tooltip').waitFor({ state: 'hidden' });
    await accessible(page);
    await shot(it, 'verdict-dark', { x: 0, y: 0, width: 1548, height: 640 });
    quiet(it.complaints);
  },

  'a filter narrows the series, chosen from what there is': async (it) => {
    const { page } = it;
    await open(it, { view: 'query', query: JSON.stringify({ queryType: 'metrics', anyTime: true }) });
    await page.getByTestId('frame-root_cause').first().waitFor();
    assert.ok((await page.getByTestId('frame-root_cause').count()) > 1);
    await page.getByRole('button', { name: 'Filters' }).click();
    await accessible(page);
    await page.getByRole('combobox', { name: 'Arm' }).click();
    await page.getByRole('option', { name: 'rules' }).click();
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => document.querySelectorAll('[data-testid=frame-root_cause]').length === 1);
    assert.match(await page.getByTestId('sentence').textContent(), /arm=rules/);
    quiet(it.complaints);
  },

  'what is wrong with a query is said where it was asked': async (it) => {
    await open(it, { view: 'query', query: JSON.stringify({ queryType: 'cases', run: 'no-such-run' }) });
    assert.match(await it.page.getByRole('alert').textContent(), /no-such-run/);
    await open(it, { view: 'query', query: JSON.stringify({ queryType: 'compare', a: 'x' }) });
    assert.equal(await it.page.getByRole('alert').count(), 0);
    quiet(it.complaints);
  },

  'a variable lists its values, and keeps its name as plain text': async (it) => {
    const { page } = it;
    await open(it, { view: 'variable' });
    await page.getByText('triage2-q8: triage2-q8').waitFor();
    await page.getByLabel('Values').click();
    await page.getByRole('option', { name: /^Metrics/ }).click();
    await page.getByText('root_cause: root cause').waitFor();
    await accessible(page);
    quiet(it.complaints);
  },

  'an example of the help goes into the query with a click': async (it) => {
    await open(it, { view: 'help', theme: 'light' });
    await it.page.getByRole('button', { name: 'compare $a with $b' }).click();
    assert.match(await it.page.getByTestId('clicked').textContent(), /"queryType":"compare","a":"\$a"/);
    await accessible(it.page);
    quiet(it.complaints);
    await shot(it, 'help-light');
  },
};
