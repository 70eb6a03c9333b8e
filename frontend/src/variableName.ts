// The list that a dashboard variable takes its values from.

/** What a dashboard may hold: the name, or an object around it as other data sources have. */
export type StoredVariable = string | { refId?: string; query?: string; variable?: string } | undefined;

export function variableName(stored: StoredVariable): string {
  return (typeof stored === 'string' ? stored : (stored?.variable ?? stored?.query)) || 'runs';
}
