/** @jest-environment jsdom */
import { dateTime } from '@grafana/data';
import { about, interpolate, type Replace, rangeVars } from '../../src/interpolate';
import { outgoing } from '../../src/query';
import type { AssayQuery } from '../../src/types';

/** A stand-in for Grafana's templateSrv with these variables. */
const filling =
  (variables: Record<string, string | string[]>): Replace =>
  (text, format) =>
    text.replace(/\$(\w+)/g, (whole, name: string) => {
      const value = variables[name];
      return value === undefined ? whole : format ? format(value) : String(value);
    });

const query = (fields: Partial<AssayQuery>): AssayQuery => ({ refId: 'A', ...fields });

test('several values become several where a list may stand', () => {
  const filled = interpolate(
    query({ queryType: 'metrics', arm: ['$arms', 'fixed', 'a'] }),
    filling({ arms: ['a', 'b'] }),
  );
  expect(filled.arm).toEqual(['a', 'b', 'fixed']);
});

test('a variable without a value leaves a filter that wants all', () => {
  expect(interpolate(query({ queryType: 'metrics', arm: ['$arms'] }), filling({ arms: '' })).arm).toEqual([]);
});

test('the first of several stands where one belongs', () => {
  const filled = interpolate(
    query({ queryType: 'compare', a: '$runs', b: 'x-$one' }),
    filling({ runs: ['r1', 'r2'], one: 'y' }),
  );
  expect(filled).toMatchObject({ a: 'r1', b: 'x-y' });
});

test('in LogQL a value cannot end its string, and several are alternatives', () => {
  const logs = (expr: string, variables: Record<string, string | string[]>) =>
    interpolate(query({ queryType: 'analyze', expr }), filling(variables)).expr;
  expect(logs('{ns="$ns"}', { ns: 'a"b\\c' })).toBe('{ns="a\\"b\\\\c"}');
  expect(logs('{ns=~"$ns"}', { ns: ['kube-system', 'a.b'] })).toBe('{ns=~"(kube-system|a\\\\.b)"}');
  expect(logs('{ns=~"$ns"}', { ns: ['a.b'] })).toBe('{ns=~"a\\\\.b"}');
});

test('a number may be a variable, and a field of another type is left alone', () => {
  const filled = interpolate(query({ queryType: 'runs', limit: '$n', expr: '$n' }), filling({ n: '7' }));
  expect(filled).toMatchObject({ limit: '7', expr: '$n' });
});

test('the range is a duration', () => {
  const [from, to] = [dateTime(1_000_000), dateTime(1_000_000 + 5_400_000)];
  const vars = rangeVars({ from, to, raw: { from, to } });
  expect(Object.entries(vars).map(([name, v]) => [name, v?.value])).toEqual([
    ['__range', '5400s'],
    ['__range_s', '5400'],
    ['__range_ms', '5400000'],
  ]);
  expect(rangeVars(undefined)).toEqual({});
});

test('an analysis is told whether its range moves with the clock', () => {
  const told = (queryType: AssayQuery['queryType'], to: string | ReturnType<typeof dateTime>) => {
    const range = { from: dateTime(0), to: dateTime(1), raw: { from: 'now-2d', to } };
    return outgoing(about(query({ queryType, expr: '{a="b"}' }), range)).relative;
  };
  expect([told('analyze', 'now-5m'), told('analyze', 'now-1d-30m')]).toEqual([true, true]);
  const still = [told('analyze', 'now-1d/d'), told('analyze', dateTime(1)), told('verdicts', 'now-5m')];
  expect(still).toEqual([undefined, undefined, undefined]);
  expect(about(query({ queryType: 'analyze' }), undefined)).not.toHaveProperty('relative');
});
