// What pickers offer: names with what is known of them, first of all their measured quality.

import type { DataFrame } from '@grafana/data';
import type { ComboboxOption } from '@grafana/ui';
import type { AssayDataSource } from './datasource';
import type { Source } from './query';
import { filled, text } from './text';
import type { AssayQuery } from './types';

export type Option = ComboboxOption<string>;

/** How long a list is taken as it was; the store changes while an editor is open. */
const FRESH_MS = 30_000;

type Row = Record<string, unknown>;

export class Catalog {
  private readonly known = new Map<string, { at: number; options: Promise<Option[]> }>();

  constructor(private readonly datasource: AssayDataSource) {}

  /** The values of a source. A list that cannot be read is empty: the field takes any text all the same. */
  async options(source: Source, query: AssayQuery): Promise<Option[]> {
    const key = source === 'cases' ? `cases ${query.run}` : source;
    const known = this.known.get(key);
    if (known && Date.now() - known.at < FRESH_MS) {
      return known.options;
    }
    const options = this.load(source, query).catch(() => []);
    this.known.set(key, { at: Date.now(), options });
    return options;
  }

  private async load(source: Source, query: AssayQuery): Promise<Option[]> {
    switch (source) {
      case 'prompts':
        return prompts(rows((await this.datasource.frames({ queryType: 'prompts' }))[0]));
      case 'models':
        return this.models();
      case 'questions':
        return questions(await this.datasource.getResource('questions'));
      case 'cases':
        return cases(rows((await this.datasource.frames({ queryType: 'cases', run: query.run ?? '' }))[0]));
      case 'runs':
        return variables(await this.datasource.variable('runs'));
      case 'metrics':
        return variables(await this.datasource.variable('metrics'));
      default:
        return variables(await this.datasource.variable(source.replace('variables/', '')));
    }
  }

  /** Models of the installation, and those that runs name, with the best that was measured with each. */
  private async models(): Promise<Option[]> {
    const [installed, measured] = await Promise.allSettled([
      this.datasource.getResource<ModelInfo[]>('models', undefined, { showErrorAlert: false }),
      this.datasource.frames({ queryType: 'tradeoff' }),
    ]);
    const infos = installed.status === 'fulfilled' ? installed.value : [];
    const tradeoff = measured.status === 'fulfilled' ? rows(measured.value[0]) : [];
    return models(infos, tradeoff);
  }
}

export interface ModelInfo {
  name: string;
  quantization?: string;
  description?: string;
  loaded?: boolean | null;
  demo?: boolean;
}

export function rows(frame: DataFrame | undefined): Row[] {
  if (!frame) {
    return [];
  }
  return Array.from({ length: frame.length }, (_, row) =>
    Object.fromEntries(frame.fields.map((field) => [field.name, field.values[row]])),
  );
}

/**
 * `triage@2`: root cause 0.81 [0.74, 0.87], released. The router comes first, because it answers without a choice; then
 * what was measured.
 */
export function prompts(rows: Row[]): Option[] {
  const measured = (row: Row) => typeof row.root_cause === 'number';
  const ordered = [...rows.filter(measured), ...rows.filter((row) => !measured(row))];
  const listed = ordered.map((row) => ({
    value: String(row.prompt),
    label: String(row.prompt),
    description: sentence([quality(row), row.status, row.description]),
  }));
  return [{ value: 'route', label: 'route', description: text.pickers.route }, ...listed];
}

export function models(infos: ModelInfo[], tradeoff: Row[]): Option[] {
  const best = new Map<string, Row>();
  for (const row of tradeoff) {
    const known = best.get(String(row.model));
    if (!known || Number(row.root_cause) > Number(known.root_cause)) {
      best.set(String(row.model), row);
    }
  }
  const names = [...new Set([...infos.map((info) => info.name), ...best.keys()])];
  return names.map((name) => {
    const info = infos.find((info) => info.name === name);
    const row = best.get(name);
    const loaded =
      info?.loaded === undefined || info.loaded === null
        ? undefined
        : info.loaded
          ? text.pickers.loaded
          : text.pickers.notLoaded;
    const size = info?.quantization ?? row?.quantization;
    return { value: name, label: name, description: sentence([quality(row), size, loaded, info?.description]) };
  });
}

export function quality(row: Row | undefined): string {
  const [value, low, high] = [row?.root_cause, row?.ci_low, row?.ci_high].map((n) =>
    typeof n === 'number' ? n : undefined,
  );
  if (value === undefined) {
    return text.pickers.unmeasured;
  }
  if (low === undefined || high === undefined) {
    return filled(text.pickers.measured, { value: share(value) });
  }
  return filled(text.pickers.measuredWithin, { value: share(value), low: share(low), high: share(high) });
}

const share = (value: number) => value.toFixed(2);

function questions(listed: Array<{ name: string; expr?: string }>): Option[] {
  return listed.map(({ name, expr }) => ({ value: name, label: name, description: expr ?? '' }));
}

function cases(rows: Row[]): Option[] {
  return rows.map((row) => ({
    value: String(row.case),
    label: String(row.case),
    description: sentence([row.true_root_cause, row.outcome]),
  }));
}

function variables(listed: Array<{ text: string; value?: string | number }>): Option[] {
  return listed.map(({ text, value }) => ({ value: String(value ?? text), label: text }));
}

function sentence(parts: unknown[]): string {
  return parts.filter((part) => part !== undefined && part !== null && part !== '').join(' · ');
}
