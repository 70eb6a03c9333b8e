// What a data source of ours is configured with and asked for. The backend's src/plugin/settings.rs and
// src/plugin/query/*.rs are the other side of these types; it refuses fields that it does not know.

import type { DataQuery, DataSourceJsonData } from '@grafana/data';

/** A llama-server that answers for a model of models.toml; its key is the secret `modelApiKey.<name>`. */
export interface ModelServer {
  name: string;
  url: string;
}

/** A question that the backend asks on its own schedule, so that alert rules and panels find a verdict. */
export interface StandingQuestion {
  name: string;
  expr: string;
  every?: string;
  window?: string;
  prompt?: string;
  model?: string;
}

/** Limits for one Loki query; one that is not set does not bind. */
export interface Guard {
  mode?: 'off' | 'warn' | 'enforce';
  maxBytes?: number;
  maxEntries?: number;
  maxRangeS?: number;
}

export interface Redaction {
  ipAddresses?: boolean;
  emailAddresses?: boolean;
}

/** jsonData of the data source. Loki's address and most of its authentication stand in Grafana's own settings. */
export interface Settings extends DataSourceJsonData {
  orgId?: string;
  timeout?: number;
  rootPath?: string;
  storeUrl?: string;
  storeEndpoint?: string;
  storeRegion?: string;
  storePathStyle?: boolean;
  modelServers?: ModelServer[];
  defaultModel?: string;
  guard?: Guard;
  redaction?: Redaction;
  budget?: number;
  maxLines?: number;
  freshFor?: number;
  maxAge?: number;
  timeoutS?: number;
  queue?: number;
  cachePath?: string;
  standingQuestions?: StandingQuestion[];
  tempoUid?: string;
  lokiUid?: string;
  prometheusUid?: string;
  otlpEndpoint?: string;
  otlpProtocol?: 'grpc' | 'http/protobuf';
  otlpCaptureContent?: boolean;
}

/** secureJsonData by name; only ever written. */
export type Secrets = Record<string, string>;

export const QUERY_TYPES = [
  'analyze',
  'verdicts',
  'signals',
  'runs',
  'metrics',
  'compare',
  'cases',
  'tradeoff',
  'prompts',
  'attribution',
  'annotations',
  'drift',
  'golden',
] as const;

export type QueryType = (typeof QUERY_TYPES)[number];

/** A number, or the text of a variable that becomes one. */
export type NumberOrVariable = number | string;

export interface AssayQuery extends DataQuery {
  queryType?: QueryType;
  expr?: string;
  window?: string;
  /** Told by the page itself: its range ends some time before now and moves with it. */
  relative?: boolean;
  prompt?: string | string[];
  model?: string | string[];
  question?: string;
  run?: string;
  case?: string;
  repeat?: NumberOrVariable;
  against?: string;
  a?: string;
  b?: string;
  metric?: string;
  margin?: NumberOrVariable;
  only?: string;
  anyTime?: boolean;
  limit?: NumberOrVariable;
  hash?: string;
  kinds?: string[];
  signal?: string;
  quantile?: NumberOrVariable;
  baseline?: string;
  show?: string;
  by?: string;
  experiment?: string[];
  arm?: string[];
  quantization?: string[];
  dataset?: string[];
  profile?: string[];
  split?: string[];
  family?: string[];
}

/** Values of a dashboard variable come from the resource `variables/<name>`. */
export const VARIABLES = [
  'runs',
  'arms',
  'models',
  'prompts',
  'datasets',
  'experiments',
  'families',
  'splits',
  'quantizations',
  'metrics',
  'baselines',
  'banner',
] as const;

export type VariableName = (typeof VARIABLES)[number];

/** One part of the health report. */
export interface HealthSection {
  name: string;
  status: 'ok' | 'warning' | 'error' | 'off';
  message: string;
  hint?: string;
}

/** The guard's dry run of a query. */
export interface CostPreview {
  ruling: 'pass' | 'warn' | 'refuse';
  message: string;
  /** None where the index could not be asked; the message says why. */
  cost: { streams: number; chunks: number; bytes: number; entries: number } | null;
}

/** Which prompt would read some logs, and why. */
export interface RoutePreview {
  route: string | null;
  prompt: string;
  model: string | null;
  steps: Array<{ route: string; matched: boolean; reason: string }>;
}
