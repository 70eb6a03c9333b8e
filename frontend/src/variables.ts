// Dashboard variables: a variable's query is the name of a list that the backend keeps, as plain text.

import { CustomVariableSupport, type DataQueryRequest, type DataQueryResponse } from '@grafana/data';
import { from, map, type Observable } from 'rxjs';
import { VariableEditor } from './components/VariableEditor';
import type { AssayDataSource } from './datasource';
import { type StoredVariable, variableName } from './variableName';

export class VariableSupport extends CustomVariableSupport<AssayDataSource> {
  editor = VariableEditor;

  constructor(private readonly datasource: AssayDataSource) {
    super();
  }

  query(request: DataQueryRequest): Observable<DataQueryResponse> {
    const name = variableName(request.targets[0] as StoredVariable);
    return from(this.datasource.variable(name)).pipe(map((data) => ({ data })));
  }
}
