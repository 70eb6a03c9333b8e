// The data source as Grafana's pages use it: queries with variables filled in and progress while a model works, the
// lists that editors choose from, and the health report.

import {
  CoreApp,
  type DataFrame,
  type DataQueryRequest,
  type DataQueryResponse,
  type DataSourceInstanceSettings,
  dateTime,
  type LiveChannelEvent,
  LiveChannelScope,
  type MetricFindValue,
  type ScopedVars,
  type TestDataSourceResponse,
  type TimeRange,
} from '@grafana/data';
import { DataSourceWithBackend, getGrafanaLiveSrv, getTemplateSrv, type TemplateSrv } from '@grafana/runtime';
import { lastValueFrom, type Observable, switchMap, throwError } from 'rxjs';
import { Catalog } from './catalog';
import { healthText, sections } from './health';
import { about, interpolate, rangeVars } from './interpolate';
import { follow } from './live';
import { FIRST, missing, outgoing, sentence } from './query';
import { text } from './text';
import type { AssayQuery, CostPreview, RoutePreview, Settings } from './types';
import { VariableSupport } from './variables';

export class AssayDataSource extends DataSourceWithBackend<AssayQuery, Settings> {
  readonly catalog = new Catalog(this);

  constructor(
    readonly settings: DataSourceInstanceSettings<Settings>,
    private readonly templates: TemplateSrv = getTemplateSrv(),
  ) {
    super(settings);
    this.variables = new VariableSupport(this);
    this.annotations = { getDefaultQuery: () => ({ queryType: 'annotations' }) };
  }

  /** Explore begins with logs to analyse, an alert rule watches a metric, a new panel draws one. */
  getDefaultQuery(app: CoreApp): Partial<AssayQuery> {
    switch (app) {
      case CoreApp.Explore:
        return { queryType: 'analyze', expr: '' };
      case CoreApp.UnifiedAlerting:
      case CoreApp.CloudAlerting:
        return { queryType: 'metrics', metric: 'root_cause' };
      default:
        return FIRST;
    }
  }

  filterQuery(query: AssayQuery): boolean {
    return !query.hide && missing(query).length === 0;
  }

  getQueryDisplayText(query: AssayQuery): string {
    return sentence(query);
  }

  query(request: DataQueryRequest<AssayQuery>): Observable<DataQueryResponse> {
    const targets = request.targets.map((query) => about(query, request.range));
    const scoped = { ...request, targets, scopedVars: { ...request.scopedVars, ...rangeVars(request.range) } };
    const ask = (without: string[] = []) =>
      super.query({ ...scoped, targets: targets.filter(({ refId }) => !without.includes(refId)) });
    return ask().pipe(switchMap((response) => follow(response, ask, (path) => this.channel(path))));
  }

  applyTemplateVariables(query: AssayQuery, scopedVars: ScopedVars): AssayQuery {
    return outgoing(interpolate(query, (text, format) => this.templates.replace(text, scopedVars, format)));
  }

  /** Explore keeps the query when a person comes from Loki. */
  async importQueries(queries: Array<AssayQuery & { expr?: string }>, origin: { type: string }): Promise<AssayQuery[]> {
    return queries.map(({ refId, expr }) =>
      origin.type === 'loki' && expr
        ? { refId, queryType: 'analyze', expr }
        : { refId, queryType: 'analyze', expr: '' },
    );
  }

  async testDatasource(): Promise<TestDataSourceResponse> {
    const health = await this.callHealthCheck();
    const details = { message: '', verboseMessage: healthText(sections(health.details)) };
    const status = health.status === 'OK' ? 'success' : 'error';
    if (status === 'error') {
      return { status, message: health.message, details };
    }
    return { status, message: health.message, details };
  }

  /** The frames of one query of the editor's own, over the last hour unless told otherwise. */
  async frames(query: Omit<AssayQuery, 'refId'>, range: TimeRange = lastHour()): Promise<DataFrame[]> {
    const request = { targets: [{ refId: 'editor', ...query }], range, requestId: undefined, hideFromInspector: true };
    const response = await lastValueFrom(super.query(request as unknown as DataQueryRequest<AssayQuery>));
    const failure = response.errors?.[0];
    if (failure) {
      throw new Error(failure.message);
    }
    return response.data;
  }

  async variable(name: string): Promise<MetricFindValue[]> {
    return this.getResource(`variables/${encodeURIComponent(name)}`);
  }

  async labels(): Promise<string[]> {
    return this.getResource('labels');
  }

  async labelValues(label: string): Promise<string[]> {
    return this.getResource(`labels/${encodeURIComponent(label)}/values`);
  }

  async cost(expr: string, range: TimeRange): Promise<CostPreview> {
    const filled = this.fill(expr, range);
    return this.getResource('guard', { expr: filled, from: range.from.valueOf(), to: range.to.valueOf() }, QUIET);
  }

  async route(labels: Record<string, string>): Promise<RoutePreview> {
    return this.postResource('route/explain', { labels, text: '' }, QUIET);
  }

  /** A LogQL text with its variables filled in, as a query would send it. */
  fill(expr: string, range: TimeRange): string {
    const query = this.applyTemplateVariables({ refId: '', queryType: 'analyze', expr }, rangeVars(range));
    return query.expr ?? '';
  }

  private channel(path: string): Observable<LiveChannelEvent<unknown>> {
    const live = getGrafanaLiveSrv();
    if (!live) {
      return throwError(() => new Error(text.failures.live));
    }
    return live.getStream({ scope: LiveChannelScope.DataSource, namespace: this.uid, path });
  }
}

/** Failures of what an editor merely would like to show are not worth an alert on the page. */
const QUIET = { showErrorAlert: false };

function lastHour(): TimeRange {
  const to = dateTime();
  const from = dateTime(to).subtract(1, 'hour');
  return { from, to, raw: { from, to } };
}
