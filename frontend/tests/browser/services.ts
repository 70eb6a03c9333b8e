// Grafana's services as far as the plugin uses them, over the host bridge of tests/host. Only what a page of Grafana would
// do stands here; what is under test is the built plugin and the backend behind it.

import type { DataSourceInstanceSettings, LiveChannelEvent, ScopedVars } from '@grafana/data';
import { LiveChannelEventType } from '@grafana/data';
import {
  type BackendSrv,
  type BackendSrvRequest,
  type DataSourceSrv,
  type FetchResponse,
  type GrafanaLiveSrv,
  setBackendSrv,
  setDataSourceSrv,
  setGrafanaLiveSrv,
  setTemplateSrv,
  type TemplateSrv,
} from '@grafana/runtime';
import { lastValueFrom, Observable } from 'rxjs';

export type Variables = Record<string, string | string[]>;

/** Sets the services; `source` is found by its uid, a few others exist by name only. */
export function setServices(source: DataSourceInstanceSettings, variables: Variables) {
  setBackendSrv(backend as unknown as BackendSrv);
  setTemplateSrv(templates(variables) as unknown as TemplateSrv);
  setGrafanaLiveSrv({ getStream: live } as unknown as GrafanaLiveSrv);
  const others = [other('tempo', 'Tempo'), other('loki', 'Loki'), other('prometheus', 'Prometheus')];
  setDataSourceSrv({
    getInstanceSettings: () => source,
    getList: ({ pluginId }: { pluginId?: string } = {}) => others.filter(({ type }) => !pluginId || type === pluginId),
  } as unknown as DataSourceSrv);
}

function other(type: string, name: string): DataSourceInstanceSettings {
  const info = { logos: { small: 'img/icn-app.svg', large: '' } };
  return { uid: type, type, name, meta: { id: type, name, info } } as unknown as DataSourceInstanceSettings;
}

const backend = {
  fetch: <T>(request: BackendSrvRequest) => fetched<T>(request),
  get: async (url: string, params?: Record<string, string>) =>
    (await lastValueFrom(fetched({ url, method: 'GET', params }))).data,
  put: async (url: string, data: unknown) => (await lastValueFrom(fetched({ url, method: 'PUT', data }))).data,
};

/** A request that ends when nobody waits for it any more, as Grafana's does. */
function fetched<T>({ url, method = 'GET', params, data, headers }: BackendSrvRequest): Observable<FetchResponse<T>> {
  return new Observable((subscriber) => {
    const abort = new AbortController();
    const query = params ? `?${new URLSearchParams(params)}` : '';
    const body = data === undefined ? undefined : JSON.stringify(data);
    fetch(url + query, { method, body, headers, signal: abort.signal })
      .then(async (response) => {
        const answer = await response.json();
        if (response.ok) {
          subscriber.next({ data: answer, status: response.status, ok: true, config: { url } } as FetchResponse<T>);
          subscriber.complete();
        } else {
          subscriber.error({ status: response.status, statusText: response.statusText, data: answer, config: { url } });
        }
      })
      .catch((error) => abort.signal.aborted || subscriber.error(error));
    return () => abort.abort();
  });
}

function live(address: { namespace: string; path: string }): Observable<LiveChannelEvent<unknown>> {
  return new Observable((subscriber) => {
    const events = new EventSource(`/api/live/${address.namespace}/${address.path}`);
    events.onmessage = ({ data }) => subscriber.next({ type: LiveChannelEventType.Message, message: JSON.parse(data) });
    events.onerror = () => events.close();
    return () => events.close();
  });
}

function templates(variables: Variables) {
  const value = (name: string, scoped?: ScopedVars) => scoped?.[name]?.value ?? variables[name];
  return {
    getVariables: () => Object.keys(variables).map((name) => ({ name, type: 'query' })),
    containsTemplate: (text = '') => /\$/.test(text),
    replace: (text = '', scoped?: ScopedVars, format?: string | ((value: unknown) => string)) =>
      text.replace(/\$\{?(\w+)\}?/g, (whole: string, name: string) => {
        const found = value(name, scoped);
        return found === undefined ? whole : typeof format === 'function' ? format(found) : String(found);
      }),
  };
}
