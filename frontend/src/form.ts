// The settings form: reads and writes jsonData and secrets of a data source that is being edited. There is no state
// beside what Grafana stores, so that whatever a person can set can also be provisioned.

import type { DataSourcePluginOptionsEditorProps, DataSourceSettings } from '@grafana/data';
import type { ModelServer, Secrets, Settings } from './types';

type Options = DataSourceSettings<Settings, Secrets>;

export interface Form {
  options: Options;
  settings: Settings;
  readOnly: boolean;
  /** Sets a value of jsonData; an empty one is taken out, so that the backend's default holds. */
  set<K extends keyof Settings>(name: K, value: Settings[K]): void;
  isConfigured(secret: string): boolean;
  secret(name: string): string;
  setSecret(name: string, value: string): void;
  /** Forgets a secret, stored or typed. */
  resetSecret(name: string): void;
  change(options: Options): void;
}

export function form({ options, onOptionsChange }: DataSourcePluginOptionsEditorProps<Settings, Secrets>): Form {
  const settings = options.jsonData ?? {};
  const stored = options.secureJsonFields ?? {};
  return {
    options,
    settings,
    readOnly: options.readOnly === true,
    set: (name, value) => onOptionsChange({ ...options, jsonData: pruned({ ...settings, [name]: value }) }),
    isConfigured: (secret) => stored[secret] === true,
    secret: (name) => options.secureJsonData?.[name] ?? '',
    setSecret: (name, value) =>
      onOptionsChange({ ...options, secureJsonData: { ...options.secureJsonData, [name]: value } }),
    resetSecret: (name) =>
      onOptionsChange({
        ...options,
        secureJsonFields: { ...stored, [name]: false },
        secureJsonData: { ...options.secureJsonData, [name]: '' },
      }),
    change: onOptionsChange,
  };
}

/** The settings without values that say nothing, at any depth. */
export function pruned<T extends object>(settings: T): T {
  const kept = Object.entries(settings).map(([name, value]) => [name, isPlain(value) ? pruned(value) : value] as const);
  return Object.fromEntries(kept.filter(([, value]) => !isNothing(value))) as T;
}

function isPlain(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isNothing(value: unknown): boolean {
  const empty = value === undefined || value === null || value === '' || Number.isNaN(value);
  return empty || (Array.isArray(value) && value.length === 0) || (isPlain(value) && Object.keys(value).length === 0);
}

/** The name of a model server's key among the secrets. */
export function modelKey(name: string): string {
  return `modelApiKey.${name}`;
}

/** Puts a server in place of the one at `index`. A key that was typed for it, and is not stored yet, follows its name. */
export function changeServer(form: Form, index: number, server: ModelServer) {
  const { options } = form;
  const servers = form.settings.modelServers ?? [];
  const [before, after] = [modelKey(servers[index]?.name ?? ''), modelKey(server.name)];
  const { [before]: typed, ...others } = options.secureJsonData ?? {};
  const moved = before !== after && typed ? { ...others, [after]: typed } : options.secureJsonData;
  const jsonData = { ...form.settings, modelServers: servers.map((other, at) => (at === index ? server : other)) };
  form.change({ ...options, jsonData, ...(moved && { secureJsonData: moved }) });
}
