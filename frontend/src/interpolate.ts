// Dashboard variables and `$__range` and its like, in every field of a query, and what else a query needs of its page.

import type { ScopedVars, TimeRange } from '@grafana/data';
import { FIELDS, fieldsOf, kindOf, typeOf } from './query';
import type { AssayQuery } from './types';

/** Grafana's `templateSrv.replace`, with the scope already in it. */
export type Replace = (text: string, format?: (value: unknown) => string) => string;

/** Between the values of a variable while its text is one; no value holds it. */
const BETWEEN = '\u0000';

/** Fills variables into every text of the query. A variable with several values becomes several where a list may stand. */
export function interpolate(query: AssayQuery, replace: Replace): AssayQuery {
  const filled: AssayQuery = { ...query };
  const { own, filters } = fieldsOf(query);
  for (const name of [...own, ...filters]) {
    const value = query[name];
    const kind = kindOf(query, name);
    if (kind === 'values' || kind === 'choices') {
      Object.assign(filled, { [name]: values(value, replace) });
    } else if (typeof value === 'string') {
      const format = FIELDS[name].kind === 'logql' ? inLogql : first;
      Object.assign(filled, { [name]: replace(value, format) });
    }
  }
  return filled;
}

function values(value: unknown, replace: Replace): string[] {
  const texts = (Array.isArray(value) ? value : [value]).filter((item): item is string => typeof item === 'string');
  const filled = texts.flatMap((text) => replace(text, (value) => list(value).join(BETWEEN)).split(BETWEEN));
  return [...new Set(filled.filter((text) => text !== ''))];
}

function list(value: unknown): string[] {
  return (Array.isArray(value) ? value : [value]).map(String);
}

/** Where one value may stand, the first of several does. */
function first(value: unknown): string {
  return list(value)[0] ?? '';
}

/**
 * A variable inside LogQL stands in a quoted string: one value has its quotes escaped, several become the alternatives
 * of a regular expression, to be used with `=~`. The same as Grafana's Loki data source does.
 */
function inLogql(value: unknown): string {
  if (!Array.isArray(value)) {
    return String(value).replace(/\\/g, '\\\\').replace(/"/g, '\\"');
  }
  const alternatives = value.map((item) => String(item).replace(/[\\^$.*+?()[\]{}|"]/g, '\\\\$&'));
  return alternatives.length === 1 ? (alternatives[0] ?? '') : `(${alternatives.join('|')})`;
}

/** The variables that Grafana leaves to the data source: the panel's time range as a duration. */
export function rangeVars(range: TimeRange | undefined): ScopedVars {
  if (!range) {
    return {};
  }
  const ms = Math.max(0, range.to.valueOf() - range.from.valueOf());
  const seconds = Math.round(ms / 1000);
  return {
    __range: { text: `${seconds}s`, value: `${seconds}s` },
    __range_s: { text: String(seconds), value: String(seconds) },
    __range_ms: { text: String(ms), value: String(ms) },
  };
}

/** An analysis is told whether its range moves with the clock, both ends alike, as `now-1h` to `now-5m` and unlike `now/d`. */
export function about(query: AssayQuery, range: TimeRange | undefined): AssayQuery {
  const to = range?.raw?.to;
  const relative = typeOf(query) === 'analyze' && typeof to === 'string' && /^now(-\d+[smhdwMy])+$/.test(to);
  return relative ? { ...query, relative } : query;
}
