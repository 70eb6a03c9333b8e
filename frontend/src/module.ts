// What Grafana loads: the data source and its editors.

import { DataSourcePlugin } from '@grafana/data';
import { ConfigEditor } from './components/ConfigEditor';
import { QueryEditor } from './components/QueryEditor';
import { QueryHelp } from './components/QueryHelp';
import { AssayDataSource } from './datasource';
import type { AssayQuery, Secrets, Settings } from './types';

export const plugin = new DataSourcePlugin<AssayDataSource, AssayQuery, Settings, Secrets>(AssayDataSource)
  .setConfigEditor(ConfigEditor)
  .setQueryEditor(QueryEditor)
  .setQueryEditorHelp(QueryHelp);
