// One field of a query, edited as its kind says.

import { EditorField, EditorSwitch } from '@grafana/plugin-ui';
import { getTemplateSrv } from '@grafana/runtime';
import { Combobox, Input, MultiCombobox } from '@grafana/ui';
import React, { useEffect, useRef } from 'react';
import type { Option } from '../catalog';
import type { AssayDataSource } from '../datasource';
import { choicesOf, FIELDS, type FieldName, kindOf } from '../query';
import { text } from '../text';
import type { AssayQuery } from '../types';
import { LogQLField } from './LogQLField';

interface Props {
  id: string;
  name: FieldName;
  query: AssayQuery;
  datasource: AssayDataSource;
  required: boolean;
  /** `run` false: the change is not whole yet. */
  onChange: (value: unknown, run?: boolean) => void;
  onRun: () => void;
}

/** What stands in an empty field: what happens without a value. */
const PLACEHOLDERS: Partial<Record<FieldName, string>> = {
  window: '$__range',
  prompt: text.editor.routed,
  model: text.editor.byDefault,
  run: text.editor.latest,
  case: text.editor.latest,
  metric: text.editor.byDefault,
  margin: text.editor.declared,
  limit: text.editor.byDefault,
  repeat: '0',
};

const WIDTHS: Partial<Record<FieldName, number>> = {
  limit: 10,
  margin: 12,
  window: 14,
  repeat: 10,
  anyTime: 8,
  hash: 50,
  prompt: 36,
  model: 36,
};

export function QueryField(props: Props) {
  const { name, required, id } = props;
  const { label, description } = text.fields[name];
  const width = name === 'expr' ? '100%' : (WIDTHS[name] ?? 26);
  return (
    <EditorField label={label} tooltip={description} width={width} required={required} htmlFor={id}>
      <Control {...props} />
    </EditorField>
  );
}

function Control({ id, name, query, datasource, required, onChange, onRun }: Props) {
  const value = query[name];
  const kind = kindOf(query, name);
  const field = FIELDS[name];
  const choices = choicesOf(query, name).map((value) => ({ value }));
  const filter = kind === 'values' || kind === 'choices';
  const placeholder = required ? '' : (!filter && PLACEHOLDERS[name]) || text.editor.any;
  const load = async (typed: string) => matching(await offered(datasource, name, query), typed);
  const single = Array.isArray(value) ? value[0] : value;
  const several = Array.isArray(value) ? value : typeof value === 'string' && value !== '' ? [value] : [];
  switch (kind === 'number' && choices.length > 0 ? 'choice' : kind) {
    case 'logql':
      return (
        <LogQLField
          id={id}
          value={String(value ?? '')}
          datasource={datasource}
          onChange={(expr) => onChange(expr, false)}
          onRun={onRun}
        />
      );
    case 'flag':
      return (
        <EditorSwitch id={id} value={value === true} onChange={(event) => onChange(event.currentTarget.checked)} />
      );
    case 'values':
    case 'choices':
      return (
        <Several
          id={id}
          label={text.fields[name].label}
          options={kind === 'choices' ? choices : load}
          values={several}
          placeholder={placeholder}
          onChange={onChange}
        />
      );
    case 'choice':
      return (
        <Combobox<string>
          id={id}
          options={choices}
          value={single ? String(single) : null}
          placeholder={placeholder}
          isClearable
          createCustomValue
          onChange={(option) => onChange(option?.value)}
        />
      );
    case 'number':
      return <Typed id={id} value={single} placeholder={placeholder} onChange={onChange} />;
    default:
      return field.source ? (
        <Combobox<string>
          id={id}
          options={load}
          value={single ? { value: String(single) } : null}
          placeholder={placeholder}
          isClearable
          createCustomValue
          onChange={(option) => onChange(option?.value ?? (name === 'run' || name === 'question' ? '' : undefined))}
        />
      ) : (
        <Typed id={id} value={single} placeholder={placeholder} onChange={onChange} />
      );
  }
}

interface SeveralProps {
  id: string;
  label: string;
  options: React.ComponentProps<typeof MultiCombobox<string>>['options'];
  values: string[];
  placeholder: string;
  onChange: (values: string[] | undefined) => void;
}

/**
 * Several values. Grafana's multi-combobox takes no id that the field's label could point to, only a label's id, and before
 * 12.2 not even that: its input is named where it stands.
 */
function Several({ id, label, options, values, placeholder, onChange }: SeveralProps) {
  const words = useRef<HTMLSpanElement>(null);
  useEffect(() => words.current?.parentElement?.querySelector('input')?.setAttribute('aria-label', label), [label]);
  return (
    <>
      <span ref={words} id={`${id}-label`} className="sr-only">
        {label}
      </span>
      <MultiCombobox<string>
        aria-labelledby={`${id}-label`}
        options={options}
        value={values.map((value) => ({ value }))}
        placeholder={placeholder}
        createCustomValue
        onChange={(options) => onChange(options.length > 0 ? options.map(({ value }) => value) : undefined)}
      />
    </>
  );
}

/** A text that counts once it is left or confirmed, so that no query runs on half a word. */
function Typed({
  id,
  value,
  placeholder,
  onChange,
}: {
  id: string;
  value: unknown;
  placeholder: string;
  onChange: (value: unknown) => void;
}) {
  const told = value === undefined || value === null ? '' : String(value);
  const take = (event: React.SyntheticEvent<HTMLInputElement>) => {
    if (event.currentTarget.value !== told) {
      onChange(event.currentTarget.value === '' ? undefined : event.currentTarget.value);
    }
  };
  return (
    <Input
      key={told}
      id={id}
      defaultValue={told}
      placeholder={placeholder}
      onBlur={take}
      onKeyDown={(event) => event.key === 'Enter' && take(event)}
    />
  );
}

/** The dashboard's variables, and then what the backend knows. */
async function offered(datasource: AssayDataSource, name: FieldName, query: AssayQuery): Promise<Option[]> {
  const source = FIELDS[name].source;
  const variables = getTemplateSrv()
    .getVariables()
    .map(({ name }) => ({ value: `$${name}` }));
  return [...variables, ...(source ? await datasource.catalog.options(source, query) : [])];
}

function matching(options: Option[], typed: string): Option[] {
  const wanted = typed.toLowerCase();
  return options.filter(({ value, label }) => `${value} ${label ?? ''}`.toLowerCase().includes(wanted));
}
