// Builds the frontend into dist/: module.js as Grafana's loader takes it, plugin.json with version and date, images.
//
// Grafana loads a plugin with SystemJS as an AMD module and brings React, rxjs and its own packages itself. esbuild writes
// CommonJS; two lines around it make AMD of that. What is not in SHARED is bundled: @grafana/plugin-ui, for one.
// `node build.mjs` builds once, `node build.mjs --watch` again at each change.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import * as esbuild from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, 'dist');

/** Modules that every Grafana 12 shares with its plugins. */
const SHARED = [
  '@emotion/css',
  '@grafana/data',
  '@grafana/runtime',
  '@grafana/ui',
  'i18next',
  'lodash',
  'react',
  'react-dom',
  'rxjs',
  'rxjs/operators',
];

const options = {
  absWorkingDir: here,
  entryPoints: ['src/module.ts'],
  outfile: 'dist/module.js',
  bundle: true,
  format: 'cjs',
  target: 'es2022',
  jsx: 'transform',
  minify: true,
  sourcemap: true,
  sourcesContent: true,
  legalComments: 'none',
  logLevel: 'warning',
  external: SHARED,
  metafile: true,
  define: { 'process.env.NODE_ENV': '"production"' },
  banner: {
    js: `define(${JSON.stringify(SHARED)},function(){var shared=arguments,names=${JSON.stringify(SHARED)},module={exports:{}},exports=module.exports,require=function(name){return shared[names.indexOf(name)]};`,
  },
  footer: { js: 'return module.exports});' },
};

/** The date of the commit, so that two builds of it are alike; today's where there is no commit. */
function updated() {
  try {
    return execFileSync('git', ['log', '-1', '--format=%cs'], { cwd: here, stdio: ['ignore', 'pipe', 'ignore'] })
      .toString()
      .trim();
  } catch {
    return new Date().toISOString().slice(0, 10);
  }
}

function copyStatic() {
  const { version } = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'));
  const plugin = readFileSync(join(here, 'src/plugin.json'), 'utf8');
  writeFileSync(join(dist, 'plugin.json'), plugin.replace('%VERSION%', version).replace('%TODAY%', updated()));
  for (const folder of ['img', 'locales']) {
    cpSync(join(here, 'src', folder), join(dist, folder), { recursive: true });
  }
  for (const { path } of JSON.parse(plugin).info.screenshots) {
    cpSync(join(here, '../docs/images', basename(path)), join(dist, path));
  }
}

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
copyStatic();
if (process.argv.includes('--watch')) {
  const context = await esbuild.context({ ...options, minify: false });
  await context.watch();
} else {
  const { metafile } = await esbuild.build(options);
  if (process.argv.includes('--analyze')) {
    console.log(await esbuild.analyzeMetafile(metafile));
  }
  const module = readFileSync(join(dist, 'module.js'));
  const kib = (bytes) => `${(bytes / 1024).toFixed(0)} KiB`;
  console.log(`module.js ${kib(statSync(join(dist, 'module.js')).size)}, ${kib(gzipSync(module).length)} gzipped`);
}
