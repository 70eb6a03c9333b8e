// Queries as data: which fields each type has, what is sent of them, what is missing, and how one reads in a sentence.
// The editor, the interpolation and the query history all follow these tables, so that a field is declared once.

import type { AssayQuery, QueryType } from './types';

/** How a field is edited, interpolated and sent. */
export type Kind = 'logql' | 'text' | 'number' | 'flag' | 'choice' | 'values' | 'choices';

/** Where the values to choose from come from. */
export type Source = 'prompts' | 'models' | 'questions' | 'runs' | 'cases' | 'metrics' | `variables/${string}`;

export interface Field {
  kind: Kind;
  source?: Source;
  choices?: readonly string[];
}

export type FieldName = Exclude<keyof AssayQuery, 'refId' | 'queryType' | 'datasource' | 'hide' | 'key' | 'relative'>;

const ANY_VALUES = (source: Source): Field => ({ kind: 'values', source });

export const FIELDS: Record<FieldName, Field> = {
  expr: { kind: 'logql' },
  window: { kind: 'text' },
  prompt: { kind: 'text', source: 'prompts' },
  model: { kind: 'text', source: 'models' },
  question: { kind: 'text', source: 'questions' },
  run: { kind: 'text', source: 'runs' },
  case: { kind: 'text', source: 'cases' },
  repeat: { kind: 'number' },
  against: { kind: 'text', source: 'runs' },
  a: { kind: 'text', source: 'runs' },
  b: { kind: 'text', source: 'runs' },
  metric: { kind: 'text', source: 'metrics' },
  margin: { kind: 'number' },
  only: { kind: 'choice', choices: ['all', 'wrong', 'changed', 'regressions'] },
  anyTime: { kind: 'flag' },
  limit: { kind: 'number' },
  hash: { kind: 'text' },
  kinds: { kind: 'choices', choices: ['prompt', 'dataset', 'model', 'gate'] },
  signal: { kind: 'choice', choices: ['abstained', 'ungrounded', 'failed', 'unseen'] },
  quantile: { kind: 'number', choices: ['0.5', '0.95', '0.99'] },
  baseline: { kind: 'text', source: 'variables/baselines' },
  show: { kind: 'choice', choices: ['delta', 'headroom', 'evidence', 'state'] },
  by: { kind: 'choice', choices: ['dataset', 'root_cause', 'family', 'split', 'difficulty', 'severity'] },
  experiment: ANY_VALUES('variables/experiments'),
  arm: ANY_VALUES('variables/arms'),
  quantization: ANY_VALUES('variables/quantizations'),
  dataset: ANY_VALUES('variables/datasets'),
  profile: { kind: 'choices', choices: ['reproducible', 'throughput'] },
  split: ANY_VALUES('variables/splits'),
  family: ANY_VALUES('variables/families'),
};

/** What signals are grouped by. */
const GROUPS = ['all', 'prompt', 'route', 'model', 'question'];

/** Which runs a query is about. As filters, prompt and model take several values too. */
const RUN_FILTERS: FieldName[] = ['experiment', 'arm', 'prompt', 'model', 'quantization', 'dataset', 'profile'];

interface TypeFields {
  own: FieldName[];
  filters: FieldName[];
  required: FieldName[];
}

/** What an analysis is of: logs that a query names, a standing question, or a case of a finished run. */
export type Subject = 'logs' | 'question' | 'run';

const SUBJECTS: Record<Subject, TypeFields> = {
  logs: { own: ['expr', 'window', 'prompt', 'model'], filters: [], required: ['expr'] },
  question: { own: ['question'], filters: [], required: ['question'] },
  run: { own: ['run', 'case', 'repeat'], filters: [], required: [] },
};

const TYPES: Record<Exclude<QueryType, 'analyze'>, TypeFields> = {
  verdicts: { own: ['limit'], filters: [], required: [] },
  signals: { own: ['signal', 'by'], filters: [], required: [] },
  runs: { own: ['limit'], filters: RUN_FILTERS, required: [] },
  metrics: {
    own: ['metric', 'quantile', 'anyTime', 'limit'],
    filters: [...RUN_FILTERS, 'split', 'family'],
    required: [],
  },
  compare: { own: ['a', 'b', 'metric', 'margin'], filters: [], required: ['a', 'b'] },
  cases: { own: ['run', 'against', 'metric', 'only', 'limit'], filters: ['split', 'family'], required: ['run'] },
  tradeoff: { own: ['metric'], filters: [...RUN_FILTERS, 'split', 'family'], required: [] },
  prompts: {
    own: ['metric'],
    filters: ['prompt', 'experiment', 'model', 'quantization', 'dataset'],
    required: [],
  },
  attribution: { own: ['hash', 'run', 'case'], filters: [], required: [] },
  annotations: { own: ['kinds'], filters: RUN_FILTERS, required: [] },
  drift: { own: ['show', 'baseline', 'metric', 'margin', 'anyTime'], filters: [], required: [] },
  golden: { own: ['by'], filters: ['dataset'], required: [] },
};

/** What a query without a type asks. */
export const DEFAULT_TYPE: QueryType = 'runs';

/**
 * What a new panel asks. Grafana makes it a time series, so it is one; runs of any time, because Grafana then offers to zoom
 * to them.
 */
export const FIRST: Partial<AssayQuery> = { queryType: 'metrics', metric: 'root_cause', anyTime: true };

/** The query as Grafana runs it: one that nobody has touched yet is the first one. */
export function orFirst(query: AssayQuery): AssayQuery {
  const touched = query.queryType !== undefined || Object.keys(query).some((name) => name in FIELDS);
  return touched ? query : { ...FIRST, ...query };
}

export function typeOf(query: AssayQuery): QueryType {
  return query.queryType ?? DEFAULT_TYPE;
}

export function subjectOf(query: AssayQuery): Subject {
  if (query.question !== undefined) {
    return 'question';
  }
  return query.run !== undefined || query.case !== undefined ? 'run' : 'logs';
}

/** What a field may be in this query: signals are grouped by other things than golden cases. */
export function choicesOf(query: AssayQuery, name: FieldName): readonly string[] {
  return name === 'by' && typeOf(query) === 'signals' ? GROUPS : (FIELDS[name].choices ?? []);
}

export function fieldsOf(query: AssayQuery): TypeFields {
  const type = typeOf(query);
  return type === 'analyze' ? SUBJECTS[subjectOf(query)] : (TYPES[type] ?? { own: [], filters: [], required: [] });
}

/** The kind of a field in this query: prompt and model are one text in an analysis and several values in a filter. */
export function kindOf(query: AssayQuery, name: FieldName): Kind {
  return fieldsOf(query).filters.includes(name) && FIELDS[name].kind === 'text' ? 'values' : FIELDS[name].kind;
}

/** The query as another type, keeping what both have. */
export function withType(query: AssayQuery, queryType: QueryType): AssayQuery {
  const next = bare(query, queryType);
  const { own, filters } = fieldsOf(next);
  for (const name of [...own, ...filters]) {
    if (query[name] !== undefined) {
      assign(next, name, query[name]);
    }
  }
  return next;
}

/** The analysis with another subject; the fields that told the old one are gone. */
export function withSubject(query: AssayQuery, subject: Subject): AssayQuery {
  const next = bare(query, 'analyze');
  if (subject === 'logs') {
    return { ...next, expr: query.expr ?? '' };
  }
  return subject === 'question' ? { ...next, question: '' } : { ...next, run: '' };
}

/** What is sent: the fields of the type that hold something, each in the form that the backend reads. */
export function outgoing(query: AssayQuery): AssayQuery {
  const sent = bare(query, typeOf(query));
  const { own, filters } = fieldsOf(query);
  for (const name of [...own, ...filters]) {
    assign(sent, name, wire(query[name], kindOf(query, name)));
  }
  return sent;
}

/** Fields without which there is nothing to ask. */
export function missing(query: AssayQuery): FieldName[] {
  const required = fieldsOf(query).required.filter((name) => wire(query[name], kindOf(query, name)) === undefined);
  const nothing = typeOf(query) === 'attribution' && !query.hash?.trim() && !query.run?.trim();
  return nothing ? ['hash'] : required;
}

/** One line for the query history and for collapsed editors. */
export function sentence(query: AssayQuery): string {
  const type = typeOf(query);
  const sent = outgoing(query);
  if (type === 'compare') {
    return `compare ${sent.a ?? '?'} with ${sent.b ?? '?'}`;
  }
  const { own, filters } = fieldsOf(query);
  const told = [...own, ...filters].filter((name) => sent[name] !== undefined);
  const parts = told.map((name) => (name === 'expr' ? sent.expr : `${name}=${String(sent[name])}`));
  return [type, ...parts].join(' ');
}

/** The query without fields of ours, as the given type. */
function bare(query: AssayQuery, queryType: QueryType): AssayQuery {
  const grafanas = Object.entries(query).filter(([name]) => !(name in FIELDS));
  return { ...(Object.fromEntries(grafanas) as unknown as AssayQuery), queryType };
}

function assign(query: AssayQuery, name: FieldName, value: unknown) {
  if (value !== undefined) {
    Object.assign(query, { [name]: value });
  }
}

/** A value in the backend's form, `undefined` if it says nothing. */
function wire(value: unknown, kind: Kind): unknown {
  if (kind === 'values' || kind === 'choices') {
    const values = (Array.isArray(value) ? value : [value]).filter((item) => typeof item === 'string' && item !== '');
    return values.length > 0 ? values : undefined;
  }
  const single = Array.isArray(value) ? value[0] : value;
  switch (kind) {
    case 'number':
      return single === undefined || single === null || single === '' ? undefined : numberOr(single);
    case 'flag':
      return single === true ? true : undefined;
    default:
      return typeof single === 'string' && single.trim() !== '' ? single.trim() : undefined;
  }
}

/** A text that is a number as that number. Another text goes as it is: the backend says what is wrong with it. */
function numberOr(value: unknown): unknown {
  const number = Number(value);
  return Number.isFinite(number) ? number : value;
}
