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
  exhaustMap,
  filter,
  interval,
  map,
  merge,
  Observable,
  of,
  Subject,
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

/** How far it is. */
interface State {
  refId: string;
  progress: Progress;
}

type Open = (path: string) => Observable<LiveChannelEvent<unknown>>;
/** Puts the questions again, but for those of these refIds. */
type Ask = (without: string[]) => Observable<DataQueryResponse>;

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
 * The response, then how far its open questions are, then the response to the same questions once they are answered. One that
 * has failed is not put again, which would begin it anew: it is an error beside what the others answer.
 */
export function follow(response: DataQueryResponse, ask: Ask, open: Open): Observable<DataQueryResponse> {
  const waiting = pending(response);
  if (waiting.length === 0) {
    return of(response);
  }
  return new Observable<DataQueryResponse>((subscriber) => {
    let states: State[] = waiting.map(({ refId }) => ({ refId, progress: { state: 'queued' } }));
    let rows: DataFrame[] = [];
    const finished = new Subject<void>();
    const failures = () => states.filter(({ progress }) => progress.state === 'failed');
    const show = () => {
      rows = states.map(({ refId, progress }) => progressFrame(refId, progress));
      subscriber.next({ ...response, data: [...rows, ...settled(response)], state: LoadingState.Streaming });
    };
    const answered = merge(finished, interval(PATIENCE_MS)).pipe(
      exhaustMap(() => ask(failures().map(({ refId }) => refId))),
      filter((again) => pending(again).length === 0),
      take(1),
      map((again) => withFailures(again, response, failures())),
    );
    const end = answered.subscribe(subscriber);
    const watched = combineLatest(waiting.map((question) => watch(question, open))).subscribe({
      next: (next) => {
        states = next;
        if (failures().length === states.length) {
          subscriber.next(withFailures({ ...response, data: [] }, response, states));
          subscriber.complete();
        } else if (states.every(({ progress }) => progress.state === 'done' || progress.state === 'failed')) {
          finished.next();
        } else {
          show();
        }
      },
      // Live is a convenience: without it the questions are put again every few seconds.
      error: show,
    });
    return () => {
      end.unsubscribe();
      watched.unsubscribe();
      // Grafana takes nothing more from whom it left, and goes on showing what it has: this row says what became of it.
      for (const row of rows) {
        row.fields[0]?.values.splice(0, 1, 'cancelled');
      }
    };
  });
}

/** How far a question is, from the beginning. */
function watch({ refId, path }: Pending, open: Open): Observable<State> {
  return open(path).pipe(
    map((event) => (isLiveChannelMessageEvent(event) ? read(event.message) : undefined)),
    filter((progress) => progress !== undefined),
    startWith<Progress>({ state: 'queued' }),
    map((progress) => ({ refId, progress })),
  );
}

/** What was answered, and of the questions that failed the reason and what was known before. */
function withFailures(again: DataQueryResponse, before: DataQueryResponse, failures: State[]): DataQueryResponse {
  if (failures.length === 0) {
    return again;
  }
  const failed = failures.map(({ refId }) => refId);
  const known = settled(before).filter((frame) => failed.includes(frame.refId ?? ''));
  const errors = failures.map(({ refId, progress }) => ({
    refId,
    message: progress.message || text.failures.analysis,
  }));
  return {
    ...again,
    data: [...again.data, ...known],
    state: LoadingState.Error,
    errors: [...(again.errors ?? []), ...errors],
  };
}

/** What is already known: older verdicts, without the empty frames that only name a channel. */
function settled(response: DataQueryResponse): DataFrame[] {
  return response.data.filter((frame: DataFrame) => frame.length > 0);
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
