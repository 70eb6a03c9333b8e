// The editor of a dashboard variable: which list it takes its values from.

import type { QueryEditorProps } from '@grafana/data';
import { Combobox, Field } from '@grafana/ui';
import React, { useId } from 'react';
import type { AssayDataSource } from '../datasource';
import { text } from '../text';
import { type AssayQuery, type Settings, VARIABLES, type VariableName } from '../types';
import { type StoredVariable, variableName } from '../variableName';

// biome-ignore lint/suspicious/noExplicitAny: a variable's query is stored as plain text, which Grafana's type does not foresee
type Props = QueryEditorProps<AssayDataSource, AssayQuery, Settings, any>;

const OPTIONS = VARIABLES.map((value) => ({ value, ...text.variables[value] }));

export function VariableEditor({ query, onChange }: Props) {
  const id = useId();
  return (
    <Field label={text.variable.label} description={text.variable.description}>
      <Combobox<VariableName>
        id={id}
        options={OPTIONS}
        value={variableName(query as StoredVariable) as VariableName}
        width={40}
        onChange={({ value }) => onChange(value)}
      />
    </Field>
  );
}
