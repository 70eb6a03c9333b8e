// The health report, section by section, as of when the data source was last saved.

import { css } from '@emotion/css';
import type { GrafanaTheme2 } from '@grafana/data';
import { ConfigSection } from '@grafana/plugin-ui';
import { getBackendSrv } from '@grafana/runtime';
import { Alert, Button, Icon, type IconName, useStyles2 } from '@grafana/ui';
import React, { useCallback, useEffect, useState } from 'react';
import type { Form } from '../../form';
import { sections } from '../../health';
import { filled, text } from '../../text';
import type { HealthSection } from '../../types';

const words = text.config.health;

const ICONS: Record<HealthSection['status'], IconName> = {
  ok: 'check-circle',
  warning: 'exclamation-triangle',
  error: 'times-circle',
  off: 'minus-circle',
};

type Report = { sections: HealthSection[] } | { failure: string };

export function Health({ form }: { form: Form }) {
  const styles = useStyles2(getStyles);
  const { uid, version } = form.options;
  const saved = form.readOnly || (version ?? 0) > 1;
  const [report, setReport] = useState<Report | undefined>();
  const [checking, setChecking] = useState(false);
  const check = useCallback(async () => {
    setChecking(true);
    setReport(await asked(uid));
    setChecking(false);
  }, [uid]);
  // Grafana raises the version when it saves: the report is then about what was saved. One that is provisioned never was.
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new version is what asks for a new check
  useEffect(() => {
    if (saved) {
      check();
    }
  }, [version, saved, check]);
  return (
    <ConfigSection title={words.title} description={words.description}>
      {report && 'failure' in report && (
        <Alert severity="error" title={filled(words.unreachable, { reason: report.failure })} />
      )}
      <ul className={styles.list} aria-live="polite">
        {report &&
          'sections' in report &&
          report.sections.map(({ name, status, message, hint }) => (
            <li key={name} className={styles.item}>
              <Icon name={ICONS[status]} className={styles[status]} aria-label={words.statuses[status]} />
              <div>
                {message}
                {hint && <div className={styles.hint}>{hint}</div>}
              </div>
            </li>
          ))}
      </ul>
      {!report && !checking && <p className={styles.hint}>{words.unsaved}</p>}
      <Button variant="secondary" size="sm" icon={checking ? 'spinner' : 'sync'} disabled={checking} onClick={check}>
        {checking ? words.checking : words.again}
      </Button>
    </ConfigSection>
  );
}

/** Grafana answers a failed check with a status of its own, and the report all the same. */
async function asked(uid: string): Promise<Report> {
  const url = `/api/datasources/uid/${uid}/health`;
  try {
    const answer = await getBackendSrv().get(url, undefined, undefined, { showErrorAlert: false });
    return { sections: sections(answer.details) };
  } catch (error) {
    const data = (error as { data?: { message?: string; details?: unknown } }).data;
    const found = sections(data?.details);
    return found.length > 0 ? { sections: found } : { failure: data?.message ?? String(error) };
  }
}

const getStyles = (theme: GrafanaTheme2) => ({
  list: css({ listStyle: 'none' }),
  item: css({ display: 'flex', gap: theme.spacing(1), padding: theme.spacing(0.5, 0), alignItems: 'baseline' }),
  hint: css({ color: theme.colors.text.secondary, fontSize: theme.typography.bodySmall.fontSize }),
  ok: css({ color: theme.colors.success.text }),
  warning: css({ color: theme.colors.warning.text }),
  error: css({ color: theme.colors.error.text }),
  off: css({ color: theme.colors.text.secondary }),
});
