// The answer in words, below its query in Explore: a table there cuts every text where its column ends.

import { css } from '@emotion/css';
import type { DataFrame, GrafanaTheme2, PanelData } from '@grafana/data';
import { Badge, type BadgeColor, useStyles2 } from '@grafana/ui';
import React from 'react';
import { rows } from '../catalog';
import { filled, text } from '../text';

/** As tables colour the severities of a verdict, but that a badge knows no yellow. */
const COLOURS: Record<string, BadgeColor> = { info: 'green', warning: 'orange', error: 'orange', critical: 'red' };

export function Answer({ data, refId }: { data?: PanelData; refId: string }) {
  const styles = useStyles2(getStyles);
  const frames = data?.series.filter((frame) => frame.refId === refId) ?? [];
  const progress = first(frames, 'progress');
  const verdict = first(frames, 'verdict');
  return (
    <div className={styles.root} role="status" aria-label={text.answer.title}>
      {progress && <p>{told(progress)}</p>}
      {verdict && <Verdict verdict={verdict} />}
    </div>
  );
}

type Row = Record<string, unknown>;

function Verdict({ verdict }: { verdict: Row }) {
  const { severity, root_cause, summary, outcome, reason } = verdict;
  if (!summary) {
    return <p>{sentence([filled(text.answer.noVerdict, { outcome: String(outcome) }), reason])}</p>;
  }
  return (
    <p>
      <Badge color={COLOURS[String(severity)] ?? 'blue'} text={String(severity)} />{' '}
      <strong>{String(root_cause)}</strong> {String(summary)}
    </p>
  );
}

/** The only row of a frame, if there is one. */
function first(frames: DataFrame[], name: string): Row | undefined {
  return rows(frames.find((frame) => frame.name === name))[0];
}

function told({ state, elapsed, message }: Row): string {
  const seconds = typeof elapsed === 'number' ? Math.round(elapsed / 1000) : undefined;
  const word = String(state);
  return sentence([seconds === undefined ? word : filled(text.answer.progress, { state: word, seconds }), message]);
}

function sentence(parts: unknown[]): string {
  return parts.filter(Boolean).join(': ');
}

const getStyles = (theme: GrafanaTheme2) => ({
  root: css({
    maxWidth: '90ch',
    padding: theme.spacing(0, 1),
    p: { margin: theme.spacing(0.5, 0) },
  }),
});
