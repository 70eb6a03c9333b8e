import {
  choicesOf,
  FIELDS,
  FIRST,
  fieldsOf,
  missing,
  orFirst,
  outgoing,
  sentence,
  subjectOf,
  withSubject,
  withType,
} from '../../src/query';
import { text } from '../../src/text';
import { type AssayQuery, QUERY_TYPES } from '../../src/types';

const query = (fields: Partial<AssayQuery>): AssayQuery => ({ refId: 'A', ...fields });

test('only the fields of the type that hold something are sent', () => {
  const sent = outgoing(
    query({ queryType: 'runs', limit: '50', arm: ['a', ''], expr: '{x="y"}', hide: false, model: [] }),
  );
  expect(sent).toEqual({ refId: 'A', queryType: 'runs', limit: 50, arm: ['a'], hide: false });
});

test('a query without a type asks for the runs', () => {
  expect(outgoing(query({}))).toEqual({ refId: 'A', queryType: 'runs' });
});

test('a panel that nobody has touched is edited as it is run', () => {
  const untouched = query({ datasource: { uid: 'assay' } });
  expect(orFirst(untouched)).toEqual({ ...untouched, ...FIRST });
  expect(missing(orFirst(untouched))).toEqual([]);
  expect(orFirst(query({ limit: 5 }))).toEqual(query({ limit: 5 }));
});

test('a text where a number belongs is sent as it is, so that the backend says what is wrong', () => {
  expect(outgoing(query({ queryType: 'compare', a: 'x', b: 'y', margin: 'wide' })).margin).toBe('wide');
});

test('a number with choices is sent as a number, and what to group by depends on the type', () => {
  expect(outgoing(query({ queryType: 'metrics', quantile: '0.95' })).quantile).toBe(0.95);
  expect(choicesOf(query({ queryType: 'signals' }), 'by')).toContain('question');
  expect(choicesOf(query({ queryType: 'golden' }), 'by')).toContain('difficulty');
});

test('prompt and model are one text in an analysis and several values in a filter', () => {
  const both = { prompt: ['triage@1', 'triage@2'], model: 'qwen' };
  expect(outgoing(query({ queryType: 'analyze', expr: '{a="b"}', ...both }))).toMatchObject({
    prompt: 'triage@1',
    model: 'qwen',
  });
  expect(outgoing(query({ queryType: 'metrics', ...both }))).toMatchObject({
    prompt: ['triage@1', 'triage@2'],
    model: ['qwen'],
  });
});

test('the subject of an analysis is told by its fields, and only they are sent', () => {
  const logs = query({ queryType: 'analyze', expr: '{a="b"}', window: '15m' });
  const run = withSubject(logs, 'run');
  const question = withSubject({ ...run, run: 'r' }, 'question');
  expect([logs, run, question].map(subjectOf)).toEqual(['logs', 'run', 'question']);
  expect(outgoing({ ...question, question: 'monitoring' })).toEqual({
    refId: 'A',
    queryType: 'analyze',
    question: 'monitoring',
  });
  expect(outgoing(run)).toEqual({ refId: 'A', queryType: 'analyze' });
});

test('another type keeps what both have, and nothing else', () => {
  const cases = query({ queryType: 'cases', run: 'r', metric: 'severity', only: 'wrong', family: ['logging'] });
  expect(withType(cases, 'metrics')).toEqual({
    refId: 'A',
    queryType: 'metrics',
    metric: 'severity',
    family: ['logging'],
  });
});

test('a query that lacks a field is not run, and the field is named', () => {
  expect(missing(query({ queryType: 'compare', a: 'x' }))).toEqual(['b']);
  expect(missing(query({ queryType: 'compare', a: 'x', b: '  ' }))).toEqual(['b']);
  expect(missing(query({ queryType: 'analyze', expr: '' }))).toEqual(['expr']);
  expect(missing(query({ queryType: 'attribution' }))).toEqual(['hash']);
  expect(missing(query({ queryType: 'attribution', run: 'r' }))).toEqual([]);
  expect(missing(query({}))).toEqual([]);
});

test('the history shows a query as a sentence', () => {
  expect(sentence(query({ queryType: 'compare', a: 'old', b: 'new' }))).toBe('compare old with new');
  expect(sentence(query({ queryType: 'analyze', expr: '{a="b"}', window: '15m' }))).toBe('analyze {a="b"} window=15m');
  expect(sentence(query({ queryType: 'metrics', arm: ['x', 'y'] }))).toBe('metrics arm=x,y');
});

test('every type has words, and every field of a type is declared', () => {
  for (const queryType of QUERY_TYPES) {
    expect(text.types[queryType].description).not.toBe('');
    const { own, filters, required } = fieldsOf(query({ queryType }));
    for (const name of [...own, ...filters]) {
      expect(FIELDS[name]).toBeDefined();
      expect(text.fields[name].label).not.toBe('');
    }
    expect(own).toEqual(expect.arrayContaining(required));
  }
});
