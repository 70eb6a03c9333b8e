// A page that is Grafana to the plugin: it loads dist/module.js as Grafana's loader does, mounts its editors with the real
// @grafana/ui and shows what comes back. `?view=config|query|help|variable&theme=dark|light&query={…}&vars={…}`.

import * as emotionCss from '@emotion/css';
import * as grafanaData from '@grafana/data';
import {
  applyFieldOverrides,
  CoreApp,
  createTheme,
  type DataFrame,
  type DataQueryRequest,
  type DataQueryResponse,
  dateTime,
  LoadingState,
  ThemeContext,
} from '@grafana/data';
import * as grafanaRuntime from '@grafana/runtime';
import { getBackendSrv } from '@grafana/runtime';
import * as grafanaUi from '@grafana/ui';
import { Alert, Badge, Button, GlobalStyles, PortalContainer, Table } from '@grafana/ui';
import i18next from 'i18next';
import * as lodash from 'lodash';
import React, { useCallback, useEffect, useRef, useState } from 'react';
import * as reactDom from 'react-dom';
import { createRoot } from 'react-dom/client';
import * as rxjs from 'rxjs';
import * as rxjsOperators from 'rxjs/operators';
import plugin from '../../src/plugin.json';
import type { AssayQuery } from '../../src/types';
import { setServices } from './services';

const SHARED: Record<string, unknown> = {
  '@emotion/css': emotionCss,
  '@grafana/data': grafanaData,
  '@grafana/runtime': grafanaRuntime,
  '@grafana/ui': grafanaUi,
  i18next,
  lodash,
  react: React,
  'react-dom': reactDom,
  rxjs,
  'rxjs/operators': rxjsOperators,
};

Object.assign(window, { SHARED });

// biome-ignore lint/suspicious/noExplicitAny: the plugin as Grafana sees it has no types of ours
type Loaded = any;

const parameters = new URLSearchParams(location.search);
const json = (name: string, otherwise: string) => JSON.parse(parameters.get(name) ?? otherwise);
const theme = createTheme({ colors: { mode: parameters.get('theme') === 'light' ? 'light' : 'dark' } });
const DAYS = 90;

/** Loads an AMD module with the shared modules in place of its dependencies. */
function load(url: string): Promise<Loaded> {
  return new Promise((resolve, reject) => {
    Object.assign(window, {
      define: (names: string[], factory: (...modules: unknown[]) => unknown) => {
        const unknown = names.filter((name) => !(name in SHARED));
        unknown.length > 0
          ? reject(new Error(`not shared: ${unknown}`))
          : resolve(factory(...names.map((name) => SHARED[name])));
      },
    });
    const script = document.createElement('script');
    script.src = url;
    script.onerror = reject;
    document.head.append(script);
  });
}

function Config({
  editor: Editor,
  datasource,
  first,
}: {
  editor: React.ComponentType<Loaded>;
  datasource: Loaded;
  first: Loaded;
}) {
  const [options, setOptions] = useState(first);
  const [result, setResult] = useState<Loaded>();
  const save = async () => {
    const saved = await getBackendSrv().put(`/api/datasources/uid/${options.uid}`, options);
    setOptions({ ...saved.datasource, secureJsonData: {} });
    setResult(
      await datasource
        .testDatasource()
        .catch((error: Loaded) => ({ status: 'error', message: error.message, details: error.details })),
    );
  };
  return (
    <form onSubmit={(event) => event.preventDefault()}>
      <h2 style={{ fontSize: 16 }}>Settings</h2>
      <Editor options={options} onOptionsChange={setOptions} />
      <div style={{ margin: '24px 0' }} data-testid="grafana">
        {result && (
          <Alert severity={result.status === 'success' ? 'success' : 'error'} title={result.message}>
            <div style={{ whiteSpace: 'pre-wrap' }}>{result.details?.verboseMessage}</div>
          </Alert>
        )}
        <Button onClick={save}>Save &amp; test</Button>
      </div>
    </form>
  );
}

function Query({
  editor: Editor,
  datasource,
  app,
}: {
  editor: React.ComponentType<Loaded>;
  datasource: Loaded;
  app: CoreApp;
}) {
  const [query, setQuery] = useState<AssayQuery>({
    refId: 'A',
    ...datasource.getDefaultQuery(app),
    ...json('query', '{}'),
  });
  const [response, setResponse] = useState<DataQueryResponse>({ data: [] });
  const running = useRef<rxjs.Subscription>();
  const current = useRef(query);
  current.current = query;
  const to = dateTime();
  const from = dateTime(to).subtract(DAYS, 'days');
  const range = useRef({ from, to, raw: { from, to } }).current;
  const cancel = () => {
    running.current?.unsubscribe();
    setResponse((old) => ({ ...old, state: LoadingState.Done }));
  };
  const run = useCallback(() => {
    // After the change that goes before it.
    setTimeout(() => {
      running.current?.unsubscribe();
      if (!datasource.filterQuery(current.current)) {
        return;
      }
      setResponse((old) => ({ ...old, state: LoadingState.Loading }));
      const request = {
        requestId: 'Q1',
        app,
        range,
        targets: [current.current],
        scopedVars: {},
        interval: '1m',
        intervalMs: 60_000,
        maxDataPoints: 500,
      };
      running.current = datasource
        .query(request as unknown as DataQueryRequest<AssayQuery>)
        .subscribe((next: DataQueryResponse) => setResponse({ ...next, state: next.state ?? LoadingState.Done }));
    });
  }, [datasource, app, range]);
  useEffect(run, [run]);
  return (
    <>
      <Editor
        query={query}
        onChange={setQuery}
        onRunQuery={run}
        datasource={datasource}
        app={app}
        range={range}
        data={{ state: response.state, series: response.data }}
      />
      <p data-testid="state">
        {response.state}{' '}
        {response.state === LoadingState.Streaming && (
          <Button size="sm" onClick={cancel}>
            Cancel
          </Button>
        )}
      </p>
      <p data-testid="sentence">{datasource.getQueryDisplayText(query)}</p>
      {(response.errors ?? []).map((error) => (
        <Alert key={error.refId} severity="error" title={error.message ?? ''} />
      ))}
      {response.data.map((frame: DataFrame) => (
        <Frame key={JSON.stringify(frame.fields.map(({ name, labels }) => [name, labels]))} frame={frame} />
      ))}
    </>
  );
}

function Frame({ frame }: { frame: DataFrame }) {
  const [shown] = applyFieldOverrides({
    data: [frame],
    fieldConfig: { defaults: {}, overrides: [] },
    replaceVariables: (text) => text,
    theme,
    timeZone: 'utc',
  });
  return (
    <section data-testid={`frame-${frame.name}`}>
      <h2 style={{ fontSize: 16, marginTop: 16 }}>
        {frame.name} <Badge color="blue" text={frame.length === 1 ? '1 row' : `${frame.length} rows`} />
      </h2>
      {(frame.meta?.notices ?? []).map(({ text, severity }) => (
        <p key={text} data-testid="notice">
          <strong>{severity}</strong> {text}
        </p>
      ))}
      {shown && (
        <Table data={shown} width={1500} height={Math.min(360, 44 + 36 * frame.length)} enableSharedCrosshair={false} />
      )}
    </section>
  );
}

function Variable({ datasource }: { datasource: Loaded }) {
  const [query, setQuery] = useState<unknown>(json('query', '"arms"'));
  const [values, setValues] = useState<Array<{ text: string; value: string }>>([]);
  useEffect(() => {
    datasource.variables.query({ targets: [query] }).subscribe(({ data }: Loaded) => setValues(data));
  }, [datasource, query]);
  const Editor = datasource.variables.editor;
  return (
    <>
      <Editor query={query} onChange={setQuery} datasource={datasource} />
      <ul data-testid="values">
        {values.map(({ text, value }) => (
          <li key={value}>{`${value}: ${text}`}</li>
        ))}
      </ul>
    </>
  );
}

function Help({ help: Component, datasource }: { help: React.ComponentType<Loaded>; datasource: Loaded }) {
  const [clicked, setClicked] = useState<AssayQuery>();
  return (
    <>
      <Component datasource={datasource} onClickExample={setClicked} />
      <p data-testid="clicked">{JSON.stringify(clicked)}</p>
    </>
  );
}

async function main() {
  const options = await (await fetch('/api/datasources/uid/assay')).json();
  const settings = { ...options, meta: { ...plugin, module: '' } };
  setServices(settings, json('vars', '{}'));
  const { plugin: loaded } = await load('/plugin/module.js');
  const datasource = new loaded.DataSourceClass(settings);
  const { ConfigEditor, QueryEditor, QueryEditorHelp } = loaded.components;
  const view = parameters.get('view');
  const app = (parameters.get('app') as CoreApp) ?? CoreApp.PanelEditor;
  createRoot(document.getElementById('root') as HTMLElement).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <main style={{ width: 1532, padding: 16, background: theme.colors.background.primary }}>
        <h1 style={{ fontSize: 18 }}>{plugin.name}</h1>
        {view === 'config' && <Config editor={ConfigEditor} datasource={datasource} first={options} />}
        {view === 'query' && <Query editor={QueryEditor} datasource={datasource} app={app} />}
        {view === 'help' && <Help help={QueryEditorHelp} datasource={datasource} />}
        {view === 'variable' && <Variable datasource={datasource} />}
      </main>
      <PortalContainer />
    </ThemeContext.Provider>,
  );
}

main().catch((error) => {
  document.body.append(`failed: ${error?.stack ?? error}`);
});
