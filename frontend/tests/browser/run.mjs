// Drives the built plugin in a real browser, with the real backend behind it: `node tests/browser/run.mjs`.
//
// Environment: ASSAY_HOST (the bridge of tests/host), ASSAY_PLUGIN (gpx_assay), ASSAY_CHROMIUM, ASSAY_STORE (a store with the
// runs of ./just demo). ASSAY_SHOTS=FOLDER keeps screenshots there. An argument runs only the scenarios with it in their name.

import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';
import { chromium } from 'playwright-core';
import { recordedLoki } from './loki.mjs';
import { scenarios } from './scenarios.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../../..');
const out = join(here, '.out');

function needed(name) {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} is not set`);
  }
  return value;
}

/** The code editor is several megabytes that no page of ours uses. */
const withoutMonaco = {
  name: 'without-monaco',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(monaco-editor|@monaco-editor\/react)/ }, ({ path }) => ({ path, namespace: 'nothing' }));
    onLoad({ filter: /.*/, namespace: 'nothing' }, () => ({ contents: 'module.exports = {};' }));
  },
};

/**
 * Grafana's packages in their CommonJS form, once each: the other form imports CommonJS the way webpack does, and lacks
 * half of @grafana/ui before 12.2.
 */
const asCommonJs = {
  name: 'as-common-js',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^@grafana\// }, ({ path, kind, pluginData, ...from }) =>
      pluginData === 'seen' ? undefined : resolve(path, { ...from, kind: 'require-call', pluginData: 'seen' }),
    );
  },
};

/** The page with Grafana's packages in it. */
async function build() {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  await esbuild.build({
    entryPoints: [join(here, 'page.tsx')],
    outfile: join(out, 'page.js'),
    bundle: true,
    minify: true,
    format: 'iife',
    target: 'es2022',
    logLevel: 'error',
    plugins: [withoutMonaco, asCommonJs],
    loader: { '.svg': 'dataurl', '.png': 'dataurl', '.woff2': 'empty' },
    define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis' },
  });
  cpSync(join(here, 'index.html'), join(out, 'index.html'));
}

/** Starts the bridge; resolves to where it listens. */
async function bridge(settings) {
  const icons = join(here, '../../node_modules/@grafana/ui/dist/public/img/icons');
  const folders = { '/page/': out, '/plugin/': join(here, '../../dist') };
  // Where Grafana has them, and where it had them before 12.1.
  Object.assign(folders, { '/public/build/img/icons/': icons, '/public/img/icons/': icons });
  const args = Object.entries(folders).flatMap(([path, folder]) => ['--folder', `${path}=${folder}`]);
  const process_ = spawn(
    needed('ASSAY_HOST'),
    ['--serve', '127.0.0.1:0', '--plugin', needed('ASSAY_PLUGIN'), '--settings', settings, ...args],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const address = await new Promise((resolve, reject) => {
    createInterface(process_.stdout).on('line', (line) => resolve(line.replace('listening on ', '')));
    process_.on('exit', (code) => reject(new Error(`the bridge ended with ${code}`)));
  });
  return { address, stop: () => process_.kill('SIGTERM') };
}

/** A data source as it is before a person has set it up, but for the store of the demo. */
function source(folder) {
  symlinkSync(needed('ASSAY_STORE'), join(folder, 'store'));
  symlinkSync(root, join(folder, 'assay'));
  const jsonData = { storeUrl: `file://${folder}/store`, rootPath: `${folder}/assay` };
  const path = join(folder, 'source.json');
  writeFileSync(
    path,
    JSON.stringify({ id: 1, uid: 'assay', name: 'Assay', type: 'assay-logs-datasource', url: '', jsonData }),
  );
  return path;
}

const folder = mkdtempSync(join(tmpdir(), 'assay-browser-'));
let running;
let loki;
let browser;
let failed = 0;
try {
  const begun = Date.now();
  await build();
  loki = await recordedLoki(root);
  running = await bridge(source(folder));
  browser = await chromium.launch({
    executablePath: needed('ASSAY_CHROMIUM'),
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  });
  // One context, so that the page's several megabytes are read and compiled once.
  const context = await browser.newContext({ viewport: { width: 1548, height: 900 }, reducedMotion: 'reduce' });
  const only = process.argv[2];
  for (const [name, scenario] of Object.entries(scenarios).filter(([name]) => !only || name.includes(only))) {
    const page = await context.newPage();
    // A busy machine is slow, and no defect of ours.
    page.setDefaultTimeout(60_000);
    const complaints = [];
    page.on(
      'console',
      (message) =>
        ['error', 'warning'].includes(message.type()) && complaints.push(`${message.text()} ${message.location().url}`),
    );
    page.on('pageerror', (error) => complaints.push(String(error)));
    try {
      await scenario({
        page,
        address: running.address,
        loki: loki.address,
        complaints,
        shots: process.env.ASSAY_SHOTS,
      });
      console.log(`ok   ${name}`);
    } catch (error) {
      failed += 1;
      console.log(
        `FAIL ${name}\n     ${String(error?.stack ?? error)
          .split('\n')
          .slice(0, 24)
          .join('\n     ')}`,
      );
      await page.screenshot({ path: join(out, `failed-${name.replace(/\W+/g, '-')}.png`) }).catch(() => undefined);
      for (const complaint of complaints.slice(0, 8)) {
        console.log(`     console: ${complaint.slice(0, 700)}`);
      }
    }
    await page.close();
  }
  console.log(`${failed === 0 ? 'all passed' : `${failed} failed`} in ${((Date.now() - begun) / 1000).toFixed(0)} s`);
} finally {
  await browser?.close();
  running?.stop();
  loki?.stop();
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = failed === 0 ? 0 : 1;
