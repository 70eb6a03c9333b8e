/** @jest-environment jsdom */
import { type DataFrame, type DataQueryResponse, LiveChannelEventType, LoadingState } from '@grafana/data';
import { NEVER, Observable, of, Subject, throwError } from 'rxjs';
import { follow, PATIENCE_MS, read } from '../../src/live';

const frame = (refId: string, length: number, channel?: string): DataFrame =>
  ({
    name: 'verdict',
    refId,
    length,
    fields: [],
    meta: channel ? { custom: { channel } } : {},
  }) as unknown as DataFrame;
const open = (refId = 'A', length = 0) => ({ data: [frame(refId, length, `analyze/${refId}`)] });
const answered: DataQueryResponse = { data: [frame('A', 1)], state: LoadingState.Done };
const packet = (...states: string[]) => ({
  type: LiveChannelEventType.Message as const,
  message: {
    schema: { fields: [{ name: 'state' }, { name: 'tokens' }] },
    data: { values: [states, states.map((_, i) => i)] },
  },
});

/** What a page sees of an observable. */
function seen(source: Observable<DataQueryResponse>) {
  const responses: DataQueryResponse[] = [];
  let complete = false;
  const subscription = source.subscribe({
    next: (response) => responses.push(response),
    complete: () => (complete = true),
  });
  const states = () => responses.map((response) => response.data[0]?.fields?.[0]?.values?.[0] ?? 'verdict');
  return { responses, states, subscription, done: () => complete };
}

test('a response without an open question passes through', () => {
  const { responses, done } = seen(
    follow(
      answered,
      () => NEVER,
      () => NEVER,
    ),
  );
  expect(responses).toEqual([answered]);
  expect(done()).toBe(true);
});

test('progress is shown, and the question is put again when it is answered', () => {
  const channel = new Subject<ReturnType<typeof packet>>();
  const page = seen(
    follow(
      open(),
      () => of(answered),
      () => channel,
    ),
  );
  channel.next(packet('loki'));
  channel.next(packet('loki', 'model'));
  expect(page.states()).toEqual(['queued', 'loki', 'model']);
  expect(page.responses.every(({ state }) => state === LoadingState.Streaming)).toBe(true);
  channel.next(packet('done'));
  expect(page.responses.at(-1)).toBe(answered);
  expect(page.done()).toBe(true);
  expect(channel.observed).toBe(false);
});

test('an older verdict stays beside the progress', () => {
  const page = seen(
    follow(
      open('A', 1),
      () => NEVER,
      () => NEVER,
    ),
  );
  expect(page.responses[0]?.data.map(({ name }) => name)).toEqual(['progress', 'verdict']);
});

test('all open questions have to be answered before they are put again', () => {
  const channels: Record<string, Subject<ReturnType<typeof packet>>> = {
    'analyze/A': new Subject(),
    'analyze/B': new Subject(),
  };
  let asked = 0;
  const both = { data: [...open('A').data, ...open('B').data] };
  const page = seen(
    follow(
      both,
      () => {
        asked += 1;
        return of(answered);
      },
      (path) => channels[path] ?? NEVER,
    ),
  );
  channels['analyze/A']?.next(packet('done'));
  expect([asked, page.done()]).toEqual([0, false]);
  channels['analyze/B']?.next(packet('done'));
  expect([asked, page.done()]).toEqual([1, true]);
});

test('a failure is the error of its query, and nothing is asked again', () => {
  const channel = new Subject<ReturnType<typeof packet>>();
  let asked = 0;
  const page = seen(
    follow(
      open(),
      () => {
        asked += 1;
        return NEVER;
      },
      () => channel,
    ),
  );
  channel.next(packet('failed'));
  expect(page.responses.at(-1)).toMatchObject({ state: LoadingState.Error, errors: [{ refId: 'A' }] });
  expect([asked, page.done()]).toEqual([0, true]);
});

test('cancelling ends the subscription to the channel', () => {
  let closed = false;
  const channel = new Observable<never>(() => () => {
    closed = true;
  });
  const page = seen(
    follow(
      open(),
      () => NEVER,
      () => channel,
    ),
  );
  page.subscription.unsubscribe();
  expect(closed).toBe(true);
});

test('what was cancelled says so where it stands', () => {
  const channel = new Subject<ReturnType<typeof packet>>();
  const page = seen(
    follow(
      open(),
      () => NEVER,
      () => channel,
    ),
  );
  channel.next(packet('model'));
  const shown = page.responses.at(-1)?.data[0]?.fields;
  expect(shown?.[0]?.values).toEqual(['model']);
  page.subscription.unsubscribe();
  expect(shown?.[0]?.values).toEqual(['cancelled']);
});

test('a failure beside another question leaves that one its answer', () => {
  const channels: Record<string, Subject<ReturnType<typeof packet>>> = {
    'analyze/A': new Subject(),
    'analyze/B': new Subject(),
  };
  const asked: string[][] = [];
  const page = seen(
    follow(
      { data: [...open('A', 1).data, ...open('B').data] },
      (without) => {
        asked.push(without);
        return of({ data: [frame('B', 1)], state: LoadingState.Done });
      },
      (path) => channels[path] ?? NEVER,
    ),
  );
  channels['analyze/A']?.next(packet('failed'));
  expect([asked.length, page.done()]).toEqual([0, false]);
  channels['analyze/B']?.next(packet('done'));
  expect(asked).toEqual([['A']]);
  expect(page.responses.at(-1)).toMatchObject({
    state: LoadingState.Error,
    errors: [{ refId: 'A' }],
    data: [{ refId: 'B' }, { refId: 'A' }],
  });
  expect(page.done()).toBe(true);
});

test('without Live the question is put again until it is answered', () => {
  jest.useFakeTimers();
  const answers = [open(), answered];
  const page = seen(
    follow(
      open(),
      () => of(answers.shift() ?? answered),
      () => throwError(() => new Error('Live is off')),
    ),
  );
  jest.advanceTimersByTime(PATIENCE_MS);
  expect(page.done()).toBe(false);
  jest.advanceTimersByTime(PATIENCE_MS);
  expect(page.responses.at(-1)).toBe(answered);
  jest.useRealTimers();
});

test('a packet is read by its schema, its newest row counts, and anything else is nothing', () => {
  expect(read(packet('loki', 'model').message)).toEqual({ state: 'model', tokens: 1 });
  expect(read({ data: { values: [['digest'], [12], [0], ['5 lines']] } })).toEqual({
    state: 'digest',
    elapsed: 12,
    tokens: 0,
    message: '5 lines',
  });
  for (const nothing of [undefined, {}, { data: {} }, { data: { values: [[]] } }, 'text']) {
    expect(read(nothing)).toBeUndefined();
  }
});
