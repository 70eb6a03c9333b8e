// Taking a completion: what is inserted, and where one goes on typing.

import type { Context } from './logql';

/** The text with a completion taken, and where the caret stands then. */
export function completed(draft: string, at: Context, option: string): { inserted: string; caret: number } {
  const [before, after] = [draft.slice(0, at.from), draft.slice(at.to)];
  switch (at.kind) {
    case 'label': {
      const operator = /^\s*[=!]/.test(after) ? '' : '=""';
      return { inserted: before + option + operator + after, caret: at.from + option.length + (operator ? 2 : 0) };
    }
    case 'value': {
      const value = at.quoted ? quote(option) : `"${quote(option)}"`;
      const closing = at.quoted && !after.startsWith('"') && !after.startsWith('`') ? '"' : '';
      return { inserted: before + value + closing + after, caret: at.from + value.length + (at.quoted ? 1 : 0) };
    }
    case 'stage': {
      const space = before.endsWith(' ') ? '' : ' ';
      const inside = option.endsWith('""') || option.endsWith('``') ? 1 : 0;
      return { inserted: before + space + option + after, caret: at.from + space.length + option.length - inside };
    }
    case 'start':
      return { inserted: `{}${after}`, caret: 1 };
  }
}

function quote(value: string): string {
  return value.replace(/\\/g, '\\\\').replace(/"/g, '\\"');
}
