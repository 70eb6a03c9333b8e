// Every word that a user reads. English is src/locales/en-US; another language is a file with the same keys beside it, named
// in plugin.json. Before Grafana (12.1 and newer) loads a plugin, it gives i18next the person's language under the plugin's
// id, and it loads the page anew for another one. What is missing there, or with an older Grafana, stays English.

import i18next, { type i18n } from 'i18next';
import english from './locales/en-US/assay-logs-datasource.json';
import type { FieldName, Subject } from './query';
import type { HealthSection, QueryType, VariableName } from './types';

const PLUGIN = 'assay-logs-datasource';

type Words = typeof english;
type Labelled = Record<'label' | 'description', string>;

/** What the tables of the query and the settings look up by name is there for every name. */
interface Complete {
  types: Record<QueryType, Labelled>;
  fields: Record<FieldName, Labelled>;
  subjects: Record<Subject, Labelled>;
  variables: Record<VariableName, Labelled>;
  help: Words['help'] & { examples: Partial<Record<QueryType, { title: string; about: string }>> };
  config: Words['config'] & {
    settings: Record<string, Labelled>;
    health: { statuses: Record<HealthSection['status'], string> };
  };
}

export const text: Words & Complete = overlaid(english, translated());

/** A sentence with its `{{names}}` filled in. */
export function filled(sentence: string, values: Record<string, string | number>): string {
  return sentence.replace(/\{\{(\w+)\}\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** The words as `other` has them, where it does. */
export function overlaid<T>(words: T, other: unknown): T {
  if (typeof words === 'object' && words !== null) {
    const others = (typeof other === 'object' && other !== null ? other : {}) as Record<string, unknown>;
    return Object.fromEntries(Object.entries(words).map(([name, word]) => [name, overlaid(word, others[name])])) as T;
  }
  return typeof other === 'string' && other !== '' ? (other as T) : words;
}

/** What Grafana's i18next holds for the plugin. Grafana 12.0 shares it as a module's default, later ones as it is. */
function translated(): unknown {
  const shared = i18next as i18n & { default?: i18n };
  const { resolvedLanguage, getResourceBundle } = shared.default ?? shared;
  return resolvedLanguage && getResourceBundle?.(resolvedLanguage, PLUGIN);
}
