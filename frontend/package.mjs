// Packs a built plugin: `node package.mjs DIST OUT` writes OUT/<id>-<version>.<platform>.zip with the layout `<id>/…` that
// Grafana and its validator expect, and the archive's SHA-256 beside it. The same files give the same archive.

import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { crc32, deflateRawSync } from 'node:zlib';
import { faults } from './validate.mjs';

/** 1 January 1980, the earliest day that a zip knows: an archive does not depend on when it was packed. */
const DAY = (1 << 5) | 1;
/** Made on Unix, so that the mode of the program is kept. */
const UNIX = 3 << 8;

function files(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}

/** A zip archive of entries {name, data, mode}. */
export function zip(entries) {
  const [parts, directory] = [[], []];
  let offset = 0;
  for (const { name, data, mode } of entries) {
    const [path, packed] = [Buffer.from(name), deflateRawSync(data)];
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0); // version that can read it
    common.writeUInt16LE(0x800, 2); // names are UTF-8
    common.writeUInt16LE(8, 4); // deflate
    common.writeUInt16LE(0, 6);
    common.writeUInt16LE(DAY, 8);
    common.writeUInt32LE(crc32(data), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(data.length, 18);
    common.writeUInt16LE(path.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, path, packed]);
    const central = Buffer.alloc(14);
    central.writeUInt32LE(((0o100000 | mode) << 16) >>> 0, 6);
    central.writeUInt32LE(offset, 10);
    const made = Buffer.alloc(2);
    made.writeUInt16LE(UNIX | 20);
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02'), made, common, central, path]));
    parts.push(local);
    offset += local.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(size, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, ...directory, end]);
}

/** Packs `dist` into `out`; returns the archive's path. Throws with all that the validator would object to. */
export function pack(dist, out) {
  const plugin = JSON.parse(readFileSync(join(dist, 'plugin.json'), 'utf8'));
  const entries = files(dist).map((name) => ({
    name: `${plugin.id}/${name}`,
    data: readFileSync(join(dist, name)),
    mode: statSync(join(dist, name)).mode & 0o777,
  }));
  const found = faults(entries);
  if (found.length > 0) {
    throw new Error(`the archive is not as Grafana wants it:\n  ${found.join('\n  ')}`);
  }
  const platforms = entries.flatMap(({ name }) => /gpx_assay_(\w+)$/.exec(name)?.[1] ?? []);
  const archive = join(out, `${plugin.id}-${plugin.info.version}.${platforms.join('+')}.zip`);
  const bytes = zip(entries);
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  writeFileSync(archive, bytes);
  const sum = createHash('sha256').update(bytes).digest('hex');
  writeFileSync(`${archive}.sha256`, `${sum}  ${archive.split('/').at(-1)}\n`);
  return { archive, bytes: bytes.length, sum };
}

if (process.argv[1]?.endsWith('package.mjs')) {
  const [dist, out] = process.argv.slice(2);
  try {
    const { archive, bytes, sum } = pack(dist, out);
    console.log(`${relative(process.cwd(), archive)}: ${(bytes / 1048576).toFixed(1)} MiB, sha256 ${sum}`);
  } catch (error) {
    console.error(`error: ${error.message}`);
    process.exit(1);
  }
}
