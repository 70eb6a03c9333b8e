// The health report, from the details of Grafana's health check.

import type { HealthSection } from './types';

const STATUSES = ['ok', 'warning', 'error', 'off'];

/** The sections of a health check's details; whatever is no section is left out. */
export function sections(details: unknown): HealthSection[] {
  const listed = (details as { sections?: unknown } | undefined)?.sections;
  return Array.isArray(listed) ? listed.filter(isSection) : [];
}

function isSection(value: unknown): value is HealthSection {
  const { name, status, message } = (value ?? {}) as Partial<HealthSection>;
  return typeof name === 'string' && STATUSES.includes(status ?? '') && typeof message === 'string';
}

/** The report as lines, for the message that Grafana shows below "Save & test". */
export function healthText(sections: HealthSection[]): string {
  const lines = sections.map(({ status, message, hint }) => `${MARKS[status]} ${message}${hint ? `: ${hint}` : ''}`);
  return lines.join('\n');
}

const MARKS: Record<HealthSection['status'], string> = { ok: '✓', warning: '!', error: '✗', off: '–' };
