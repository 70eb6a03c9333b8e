// A question that no verdict answers yet: its progress comes over Grafana Live while the model works, and when it is
// done the question is put again. Whoever unsubscribes (closes the panel, presses cancel) ends the subscription.

import {
  type DataFrame,
  type DataQueryResponse,
  FieldType,
  isLiveChannelMessageEvent,
  type LiveChannelEvent,
  LoadingState,
} from '@grafana/data';
import {
  combineLatest,
  EMPTY,
  exhaustMap,
  filter,
  interval,
  map,
  merge,
  Observable,
  of,
  share,
  startWith,
  take,
} from 'rxjs';
import { text } from './text';

/** What a packet says, as far as it does. */
export interface Progress {
  state: string;
  elapsed?: number;
  tokens?: number;
  message?: string;
}

/** A question of a response that is still being worked on. */
interface Pending {
  refId: string;
  path: string;
}

type Open = (path: string) => Observable<LiveChannelEvent<unknown>>;

/** Asks again after this long without word, because Live may be off or its connection lost. */
export const PATIENCE_MS = 5_000;

/** Channels that a response names, as `custom.channel` of a frame. */
export function pending(response: DataQueryResponse): Pending[] {
  return response.data.flatMap((frame: DataFrame) => {
    const path: unknown = frame.meta?.custom?.channel;
    return typeof path === 'string' && path !== '' ? [{ refId: frame.refId ?? '', path }] : [];
  });
}

/**
 * The response, then how far its open questions are, then the response to the same questions once they are answered.
 * `ask` puts them again; `open` subscribes to a channel.
 */
export function follow(response: DataQueryResponse, ask: () => Observable<DataQueryResponse>, open: Open) {
  const waiting = pending(response);
  if (waiting.length === 0) {
    return of(response);
  }
  return new Observable<DataQueryResponse>((subscriber) => {
    const progress = waiting.map(({ refId, path }) =>
      open(path).pipe(
        map((event) => (isLiveChannelMessageEvent(event) ? read(event.message) : undefined)),
        filter((read) => read !== undefined),
        startWith<Progress>({ state: 'queued' }),
        map((progress) => ({ refId, progress })),
      ),
    );
    const all = combineLatest(progress).pipe(share());
    const shown = all.subscribe({
      next: (states) => subscriber.next(inProgress(response, states)),
      // Live is a convenience: without it the question is put again every few seconds.
      error: () =>
        subscriber.next(
          inProgress(
            response,
            waiting.map(({ refId }) => ({ refId, progress: { state: 'queued' } })),
          ),
        ),
    });
    const failed = all.subscribe({
      next: (states) => {
        const failure = states.find(({ progress }) => progress.state === 'failed');
        if (failure) {
          const message = failure.progress.message || text.failures.analysis;
          subscriber.next({
            ...response,
            data: settled(response),
            state: LoadingState.Error,
            errors: [{ refId: failure.refId, message }],
          });
          subscriber.complete();
        }
      },
      error: () => undefined,
    });
    const finished = all.pipe(filter((states) => states.every(({ progress }) => progress.state === 'done')));
    const answered = merge(quietly(finished), interval(PATIENCE_MS)).pipe(
      exhaustMap(ask),
      filter((again) => pending(again).length === 0),
      take(1),
    );
    const end = answered.subscribe(subscriber);
    return () => {
      end.unsubscribe();
      shown.unsubscribe();
      failed.unsubscribe();
    };
  });
}

function quietly<T>(source: Observable<T>): Observable<T> {
  return new Observable((subscriber) =>
    source.subscribe({ next: (value) => subscriber.next(value), error: () => EMPTY, complete: () => undefined }),
  );
}

/** What is already known: older verdicts, without the empty frames that only name a channel. */
function settled(response: DataQueryResponse): DataFrame[] {
  return response.data.filter((frame: DataFrame) => frame.length > 0);
}

function inProgress(
  response: DataQueryResponse,
  states: Array<{ refId: string; progress: Progress }>,
): DataQueryResponse {
  const frames = states.map(({ refId, progress }) => progressFrame(refId, progress));
  return { ...response, data: [...frames, ...settled(response)], state: LoadingState.Streaming };
}

/** One row that a table panel and Explore show as it is. */
export function progressFrame(refId: string, progress: Progress): DataFrame {
  const field = (name: string, type: FieldType, value: unknown, config = {}) => ({
    name,
    type,
    values: [value],
    config,
  });
  // What the model is at takes the rest of a table panel; Explore makes all columns alike.
  const narrow = { custom: { width: 100 } };
  return {
    name: 'progress',
    refId,
    length: 1,
    meta: { preferredVisualisationType: 'table' },
    fields: [
      field('state', FieldType.string, progress.state, narrow),
      field('elapsed', FieldType.number, progress.elapsed ?? null, { ...narrow, unit: 'ms', decimals: 0 }),
      field('tokens', FieldType.number, progress.tokens ?? null, narrow),
      field('message', FieldType.string, progress.message ?? ''),
    ],
  };
}

/** The newest row of a packet: a frame as JSON, whose schema may be left out once it was told. */
export function read(message: unknown): Progress | undefined {
  const { schema, data } = (message ?? {}) as {
    schema?: { fields?: Array<{ name: string }> };
    data?: { values?: unknown[][] };
  };
  const names = schema?.fields?.map((field) => field.name) ?? ['state', 'elapsed', 'tokens', 'message'];
  const columns = data?.values;
  if (!columns?.length) {
    return undefined;
  }
  const last = (name: string) => columns[names.indexOf(name)]?.at(-1);
  const [state, elapsed, tokens, text] = ['state', 'elapsed', 'tokens', 'message'].map(last);
  if (typeof state !== 'string') {
    return undefined;
  }
  return {
    state,
    ...(typeof elapsed === 'number' && { elapsed }),
    ...(typeof tokens === 'number' && { tokens }),
    ...(typeof text === 'string' && text !== '' && { message: text }),
  };
}
