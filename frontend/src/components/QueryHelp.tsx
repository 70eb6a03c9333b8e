// Help beside the editor: examples that a click puts into the query.

import { css } from '@emotion/css';
import type { GrafanaTheme2, QueryEditorHelpProps } from '@grafana/data';
import { useStyles2 } from '@grafana/ui';
import React from 'react';
import { sentence } from '../query';
import { text } from '../text';
import type { AssayQuery } from '../types';

export const EXAMPLES: AssayQuery[] = [
  { refId: 'A', queryType: 'analyze', expr: '{namespace="monitoring"}' },
  { refId: 'A', queryType: 'runs' },
  { refId: 'A', queryType: 'metrics', metric: 'root_cause', anyTime: true },
  { refId: 'A', queryType: 'compare', a: '$a', b: '$b' },
  { refId: 'A', queryType: 'cases', run: '$b', against: '$a', only: 'changed' },
  { refId: 'A', queryType: 'tradeoff' },
  { refId: 'A', queryType: 'attribution', hash: '$hash' },
  { refId: 'A', queryType: 'signals' },
];

export function QueryHelp({ onClickExample }: QueryEditorHelpProps<AssayQuery>) {
  const styles = useStyles2(getStyles);
  return (
    <div>
      <h2>Assay</h2>
      <p>{text.help.intro}</p>
      {EXAMPLES.map((query) => {
        const { title, about } = text.help.examples[query.queryType ?? 'runs'] ?? {};
        return (
          <div key={query.queryType} className={styles.example}>
            <h3 className={styles.title}>{title}</h3>
            <p>{about}</p>
            <button type="button" className={styles.query} onClick={() => onClickExample(query)}>
              <code>{sentence(query)}</code>
            </button>
          </div>
        );
      })}
    </div>
  );
}

const getStyles = (theme: GrafanaTheme2) => ({
  example: css({ marginTop: theme.spacing(2) }),
  title: css({ fontSize: theme.typography.h5.fontSize, marginBottom: 0 }),
  query: css({
    padding: theme.spacing(0.5, 1),
    background: theme.colors.background.secondary,
    border: `1px solid ${theme.colors.border.weak}`,
    borderRadius: theme.shape.radius.default,
    textAlign: 'left',
    '&:hover': { background: theme.colors.action.hover },
    code: { background: 'none', border: 'none', padding: 0 },
  }),
});
