// What a question would do before it is asked: which prompt would read the logs and why, and what they cost Loki.

import { css } from '@emotion/css';
import type { GrafanaTheme2 } from '@grafana/data';
import { getValueFormat, type TimeRange } from '@grafana/data';
import { Badge, Icon, Tooltip, useStyles2 } from '@grafana/ui';
import React, { useEffect, useState } from 'react';
import type { AssayDataSource } from '../datasource';
import { certainLabels } from '../logql';
import { filled, text } from '../text';
import type { AssayQuery, CostPreview, RoutePreview } from '../types';

interface Props {
  query: AssayQuery;
  datasource: AssayDataSource;
  range?: TimeRange;
}

export function Previews({ query, datasource, range }: Props) {
  const styles = useStyles2(getStyles);
  const expr = query.expr ?? '';
  const from = range?.from.valueOf();
  const to = range?.to.valueOf();
  const labels = range ? certainLabels(datasource.fill(expr, range)) : certainLabels(expr);
  const route = useAsked<RoutePreview>(expr !== '' && !query.prompt ? JSON.stringify(labels) : undefined, () =>
    datasource.route(labels),
  );
  const cost = useAsked<CostPreview>(expr !== '' && range ? `${expr} ${from} ${to}` : undefined, () =>
    datasource.cost(expr, range as TimeRange),
  );
  if (expr === '') {
    return null;
  }
  return (
    <div className={styles.root} aria-live="polite">
      <span>
        <Icon name="code-branch" /> {text.route.title}: <Route query={query} route={route} />
      </span>
      <span>
        <Icon name="database" /> {text.cost.title}: <Cost cost={cost} />
      </span>
    </div>
  );
}

type Asked<T> = { answer?: T; failure?: string } | undefined;

function Route({ query, route }: { query: AssayQuery; route: Asked<RoutePreview> }) {
  if (query.prompt && query.prompt !== 'route') {
    return (
      <>
        <strong>{String(query.prompt)}</strong> {text.route.fixed}
      </>
    );
  }
  if (route?.failure) {
    return <>{`${text.route.unknown}: ${route.failure}`}</>;
  }
  if (!route?.answer) {
    return <>…</>;
  }
  const { prompt, model, steps } = route.answer;
  const step = steps.find((step) => step.matched);
  return (
    <>
      <strong>{model ? filled(text.route.on, { prompt, model }) : prompt}</strong>{' '}
      {step && filled(text.route.because, { reason: step.reason })}{' '}
      <Tooltip content={<Steps steps={steps} />}>
        <Icon name="info-circle" size="sm" tabIndex={0} />
      </Tooltip>
    </>
  );
}

function Steps({ steps }: { steps: RoutePreview['steps'] }) {
  return (
    <div>
      {steps.map(({ route, matched, reason }) => (
        <div key={route}>
          {matched ? '✓' : '–'} {route}: {reason}
        </div>
      ))}
      <em>{text.route.byContent}</em>
    </div>
  );
}

function Cost({ cost }: { cost: Asked<CostPreview> }) {
  if (cost?.failure) {
    return <>{`${text.cost.unknown}: ${cost.failure}`}</>;
  }
  if (!cost?.answer) {
    return <>…</>;
  }
  const { ruling, message, cost: estimate } = cost.answer;
  const told =
    estimate?.streams === 0
      ? text.cost.nothing
      : estimate &&
        filled(text.cost.estimate, {
          bytes: formatted('bytes', estimate.bytes),
          entries: formatted('short', estimate.entries),
          streams: estimate.streams,
        });
  return (
    <>
      {told}{' '}
      {ruling === 'pass' ? (
        <Badge color="green" text={text.cost.pass} />
      ) : (
        <Badge color={ruling === 'warn' ? 'orange' : 'red'} text={message} />
      )}
    </>
  );
}

function formatted(unit: string, value: number): string {
  const { text, suffix = '' } = getValueFormat(unit)(value, value < 1000 ? 0 : 1);
  return `${text}${suffix}`;
}

/** How long the text must rest before something is asked. */
const REST_MS = 400;

/** The answer to a question that is asked when its key changes; none while there is no key. */
function useAsked<T>(key: string | undefined, ask: () => Promise<T>): Asked<T> {
  const [asked, setAsked] = useState<Asked<T>>();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key says when the question is another
  useEffect(() => {
    setAsked(undefined);
    if (key === undefined) {
      return;
    }
    let gone = false;
    const keep = (next: Asked<T>) => !gone && setAsked(next);
    const timer = setTimeout(() => {
      ask().then(
        (answer) => keep({ answer }),
        (error) => keep({ failure: error?.data?.message ?? error?.message ?? String(error) }),
      );
    }, REST_MS);
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [key]);
  return asked;
}

const getStyles = (theme: GrafanaTheme2) => ({
  root: css({
    display: 'flex',
    flexWrap: 'wrap',
    gap: theme.spacing(0.5, 3),
    padding: theme.spacing(0.5, 1),
    fontSize: theme.typography.bodySmall.fontSize,
    color: theme.colors.text.secondary,
    strong: { color: theme.colors.text.primary, fontWeight: theme.typography.fontWeightMedium },
  }),
});
