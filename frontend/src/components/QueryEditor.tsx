// The editor of every query type: type and subject on top, then the fields that the type has.

import { CoreApp, type QueryEditorProps } from '@grafana/data';
import { EditorField, EditorHeader, EditorRow, EditorRows, FlexItem, RunQueryButton } from '@grafana/plugin-ui';
import { Button, Combobox, RadioButtonGroup } from '@grafana/ui';
import React, { useId, useState } from 'react';
import type { AssayDataSource } from '../datasource';
import {
  type FieldName,
  fieldsOf,
  missing,
  orFirst,
  type Subject,
  subjectOf,
  typeOf,
  withSubject,
  withType,
} from '../query';
import { filled, text } from '../text';
import { type AssayQuery, QUERY_TYPES, type QueryType, type Settings } from '../types';
import { Answer } from './Answer';
import { Previews } from './Previews';
import { QueryField } from './QueryField';

export type EditorProps = QueryEditorProps<AssayDataSource, AssayQuery, Settings>;

const TYPE_OPTIONS = QUERY_TYPES.map((value) => ({ value, ...text.types[value] }));
const SUBJECTS: Subject[] = ['logs', 'question', 'run'];
const SUBJECT_OPTIONS = SUBJECTS.map((value) => ({ value, ...text.subjects[value] }));

export function QueryEditor({ query: stored, onChange, onRunQuery, datasource, app, range, data }: EditorProps) {
  const id = useId();
  const query = orFirst(stored);
  const type = typeOf(query);
  const { own, filters } = fieldsOf(query);
  const chosen = filters.filter((name) => query[name] !== undefined);
  const [filtering, setFiltering] = useState(chosen.length > 0);
  const lacking = missing(query);

  /** Takes a change, and runs the query as soon as it is whole. */
  const change = (next: AssayQuery, run = true) => {
    onChange(next);
    if (run && missing(next).length === 0) {
      onRunQuery();
    }
  };
  const field = (name: FieldName) => (
    <QueryField
      key={name}
      id={`${id}-${name}`}
      name={name}
      query={query}
      datasource={datasource}
      required={fieldsOf(query).required.includes(name)}
      onChange={(value, run) => change({ ...query, [name]: value }, run)}
      onRun={onRunQuery}
    />
  );

  return (
    <EditorRows>
      <EditorHeader>
        <EditorField label={text.editor.type} width={24}>
          <Combobox<QueryType>
            id={`${id}-type`}
            options={TYPE_OPTIONS}
            value={type}
            onChange={({ value }) => change(withType(query, value))}
          />
        </EditorField>
        {type === 'analyze' && (
          <EditorField label={text.editor.subject}>
            <RadioButtonGroup
              id={`${id}-subject`}
              options={SUBJECT_OPTIONS}
              value={subjectOf(query)}
              onChange={(subject) => change(withSubject(query, subject))}
            />
          </EditorField>
        )}
        <FlexItem grow={1} />
        {app !== CoreApp.Explore && (
          <RunQueryButton
            queryInvalid={lacking.length > 0}
            invalidQueryTooltip={filled(text.editor.missing, {
              fields: lacking.map((name) => text.fields[name].label).join(', '),
            })}
            queryRunning={data?.state === 'Loading'}
            ariaLabel={text.editor.run}
            onClick={onRunQuery}
          />
        )}
      </EditorHeader>
      {own.length > 0 && <EditorRow>{own.map(field)}</EditorRow>}
      {type === 'analyze' && subjectOf(query) === 'logs' && (
        <Previews query={query} datasource={datasource} range={range} />
      )}
      {type === 'analyze' && app === CoreApp.Explore && <Answer data={data} refId={query.refId} />}
      {filtering && <EditorRow>{filters.map(field)}</EditorRow>}
      {filters.length > 0 && !filtering && (
        <div>
          <Button variant="secondary" fill="text" size="sm" icon="filter" onClick={() => setFiltering(true)}>
            {text.editor.filters}
          </Button>
        </div>
      )}
    </EditorRows>
  );
}
