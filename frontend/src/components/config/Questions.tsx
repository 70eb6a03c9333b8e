// Standing questions: asked on their own schedule, with no panel open.

import { ConfigSection } from '@grafana/plugin-ui';
import { Stack } from '@grafana/ui';
import React from 'react';
import { type Form, pruned } from '../../form';
import { filled, text } from '../../text';
import type { StandingQuestion } from '../../types';
import { LOGQL } from '../LogQLField';
import { Cell, RemoveButton, Rows } from './fields';

const words = text.config.questions;

const FIELDS: Array<{ name: keyof StandingQuestion; width: number; placeholder: string }> = [
  { name: 'name', width: 20, placeholder: 'monitoring' },
  { name: 'expr', width: 42, placeholder: LOGQL },
  { name: 'every', width: 10, placeholder: '5m' },
  { name: 'window', width: 10, placeholder: '15m' },
  { name: 'prompt', width: 16, placeholder: text.editor.routed },
  { name: 'model', width: 16, placeholder: text.editor.byDefault },
];

export function Questions({ form }: { form: Form }) {
  const questions = form.settings.standingQuestions ?? [];
  const change = (next: StandingQuestion[]) => form.set('standingQuestions', next);
  return (
    <ConfigSection
      title={words.title}
      description={words.description}
      isCollapsible
      isInitiallyOpen={questions.length > 0}
    >
      <Stack direction="column" gap={1}>
        <Rows
          form={form}
          items={questions}
          add={words.add}
          blank={{ name: '', expr: '' }}
          onChange={change}
          row={(question, index, replace) => (
            <Question
              form={form}
              question={question}
              onChange={replace}
              onRemove={() => change(questions.filter((_, at) => at !== index))}
            />
          )}
        />
      </Stack>
    </ConfigSection>
  );
}

interface QuestionProps {
  form: Form;
  question: StandingQuestion;
  onChange: (question: StandingQuestion) => void;
  onRemove: () => void;
}

function Question({ form, question, onChange, onRemove }: QuestionProps) {
  return (
    <Stack alignItems="end" gap={1} wrap="wrap">
      {FIELDS.map(({ name, width, placeholder }) => (
        <Cell
          key={name}
          form={form}
          label={words[name]}
          width={width}
          placeholder={placeholder}
          value={question[name] ?? ''}
          onChange={(value) => onChange(optionalsPruned({ ...question, [name]: value }))}
        />
      ))}
      <RemoveButton
        form={form}
        label={filled(words.remove, { name: question.name || words.unnamed })}
        onClick={onRemove}
      />
    </Stack>
  );
}

/** Name and query stay while they are empty: they are what a question must have. */
function optionalsPruned({ name, expr, ...optional }: StandingQuestion): StandingQuestion {
  return { name, expr, ...pruned(optional) };
}
