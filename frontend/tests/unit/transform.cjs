// Jest's transform by the bundler that builds the plugin, so that tests need no compiler of their own.

const { extname } = require('node:path');
const { transformSync } = require('esbuild');

module.exports = {
  process(text, path) {
    const loader = extname(path).replace(/^\.m?/, '');
    return transformSync(text, { loader, format: 'cjs', target: 'es2022', sourcemap: 'inline', sourcefile: path });
  },
};
