// One LogQL query: a plain textarea over its own coloured text, with a list of completions at the caret. Without an
// editor library it is there at once, reads in a screen reader and costs a panel nothing.

import { css, cx } from '@emotion/css';
import type { GrafanaTheme2 } from '@grafana/data';
import { useStyles2 } from '@grafana/ui';
import React, { useEffect, useId, useLayoutEffect, useRef, useState } from 'react';
import { completed } from '../completion';
import type { AssayDataSource } from '../datasource';
import { type Context, context, STAGE_SUGGESTIONS, type TokenKind, tokens } from '../logql';
import { text } from '../text';

interface Props {
  id: string;
  value: string;
  datasource: AssayDataSource;
  onChange: (value: string) => void;
  onRun: () => void;
}

/** What a query looks like. */
export const LOGQL = '{namespace="monitoring"} |= "error"';

/** Completions shown at once. */
const SHOWN = 12;

export function LogQLField({ id, value, datasource, onChange, onRun }: Props) {
  const styles = useStyles2(getStyles);
  const area = useRef<HTMLTextAreaElement>(null);
  /** Where the caret goes when the text that a completion made is shown. */
  const destination = useRef<number | undefined>(undefined);
  const listId = useId();
  const [draft, setDraft] = useState(value);
  const [caret, setCaret] = useState<number | undefined>();
  const [chosen, setChosen] = useState(0);
  const at = caret === undefined ? undefined : context(draft, caret);
  const options = useSuggestions(datasource, at);
  const open = at !== undefined && options.length > 0;

  useEffect(() => setDraft(value), [value]);

  // The caret can only be set once the new text stands there, and must be before the next key is typed.
  useLayoutEffect(() => {
    if (destination.current !== undefined) {
      area.current?.setSelectionRange(destination.current, destination.current);
      destination.current = undefined;
    }
  });

  const take = (option: string) => {
    if (!at) {
      return;
    }
    const { inserted, caret: next } = completed(draft, at, option);
    setDraft(inserted);
    onChange(inserted);
    setCaret(undefined);
    destination.current = next;
  };

  const commit = () => {
    setCaret(undefined);
    if (draft !== value) {
      onChange(draft);
    }
  };

  const onKeyDown = (event: React.KeyboardEvent) => {
    if (event.key === 'Enter' && (event.shiftKey || event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      commit();
      onRun();
    } else if (open && (event.key === 'Enter' || event.key === 'Tab') && options[chosen] !== undefined) {
      event.preventDefault();
      take(options[chosen]);
    } else if (open && (event.key === 'ArrowDown' || event.key === 'ArrowUp')) {
      event.preventDefault();
      setChosen((chosen + (event.key === 'ArrowDown' ? 1 : options.length - 1)) % options.length);
    } else if (event.key === 'Escape' && open) {
      event.stopPropagation();
      setCaret(undefined);
    } else if (event.key === 'Enter') {
      // A query is one line; a line break would only run it by surprise in some browsers and not in others.
      event.preventDefault();
    }
  };

  return (
    <div className={styles.root}>
      <pre className={styles.coloured} aria-hidden="true">
        {tokens(draft).map((token) => (
          <span key={token.at} className={styles[token.kind]}>
            {token.text}
          </span>
        ))}
        {'\n'}
      </pre>
      <textarea
        ref={area}
        id={id}
        className={styles.area}
        rows={1}
        spellCheck={false}
        autoCapitalize="off"
        autoComplete="off"
        placeholder={LOGQL}
        value={draft}
        aria-autocomplete="list"
        aria-haspopup="listbox"
        aria-controls={listId}
        aria-activedescendant={open ? `${listId}-${chosen}` : undefined}
        aria-describedby={`${listId}-hint`}
        onChange={(event) => {
          setDraft(event.target.value);
          setCaret(event.target.selectionStart);
          setChosen(0);
        }}
        onClick={(event) => {
          setCaret(event.currentTarget.selectionStart);
          setChosen(0);
        }}
        onKeyDown={onKeyDown}
        onBlur={commit}
      />
      <span id={`${listId}-hint`} className="sr-only">
        {text.editor.completionHint}
      </span>
      <div
        id={listId}
        role="listbox"
        aria-label={text.editor.completions}
        className={cx(styles.list, !open && styles.hidden)}
        style={{ left: `calc(${Math.min(at?.from ?? 0, 80)}ch + 8px)` }}
      >
        {options.map((option, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the textarea has the keyboard
          // biome-ignore lint/a11y/useFocusableInteractive: the textarea keeps the focus and names the active option
          <div
            key={option}
            id={`${listId}-${index}`}
            role="option"
            aria-selected={index === chosen}
            className={cx(styles.option, index === chosen && styles.chosen)}
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => take(option)}
          >
            {option}
          </div>
        ))}
      </div>
    </div>
  );
}

/** What fits at the caret. Labels and their values are Loki's, asked for once per label. */
function useSuggestions(datasource: AssayDataSource, at: Context | undefined): string[] {
  const [values, setValues] = useState<Record<string, string[]>>({});
  const wanted = at?.kind === 'label' ? '' : at?.kind === 'value' ? at.label : undefined;
  useEffect(() => {
    if (wanted === undefined || values[wanted]) {
      return;
    }
    let gone = false;
    const asked = wanted === '' ? datasource.labels() : datasource.labelValues(wanted);
    const keep = (found: string[]) => !gone && setValues((known) => ({ ...known, [wanted]: found }));
    asked.then(keep, () => keep([]));
    return () => {
      gone = true;
    };
  }, [datasource, wanted, values]);
  if (!at) {
    return [];
  }
  const all = wanted !== undefined ? (values[wanted] ?? []) : at.kind === 'start' ? ['{'] : STAGE_SUGGESTIONS;
  const typed = at.typed.toLowerCase();
  const fitting = all.filter((option) => option.toLowerCase().includes(typed) && option !== at.typed);
  return fitting.slice(0, SHOWN);
}

const getStyles = (theme: GrafanaTheme2) => {
  const line = css({
    margin: 0,
    padding: '5px 8px',
    fontFamily: theme.typography.fontFamilyMonospace,
    fontSize: theme.typography.bodySmall.fontSize,
    lineHeight: '20px',
    whiteSpace: 'pre-wrap',
    overflowWrap: 'anywhere',
    border: '1px solid transparent',
    borderRadius: theme.shape.radius.default,
  });
  const { visualization } = theme;
  const colour = (name: string) =>
    css({ color: visualization.getColorByName(theme.isDark ? `light-${name}` : `dark-${name}`) });
  return {
    root: css({ position: 'relative', width: '100%', minWidth: 260 }),
    coloured: cx(
      line,
      css({
        minHeight: 32,
        background: theme.components.input.background,
        borderColor: theme.components.input.borderColor,
        color: theme.components.input.text,
      }),
    ),
    area: cx(
      line,
      css({
        position: 'absolute',
        inset: 0,
        width: '100%',
        height: '100%',
        resize: 'none',
        overflow: 'hidden',
        background: 'transparent',
        color: 'transparent',
        caretColor: theme.colors.text.maxContrast,
        '&::placeholder': { color: theme.colors.text.secondary },
        '&:focus': { outline: `2px solid ${theme.colors.primary.main}`, outlineOffset: 1 },
      }),
    ),
    list: css({
      position: 'absolute',
      top: '100%',
      marginTop: 4,
      zIndex: theme.zIndex.dropdown,
      minWidth: 180,
      maxHeight: 260,
      overflowY: 'auto',
      background: theme.colors.background.elevated,
      border: `1px solid ${theme.colors.border.weak}`,
      borderRadius: theme.shape.radius.default,
      boxShadow: theme.shadows.z3,
    }),
    hidden: css({ display: 'none' }),
    option: css({
      padding: '4px 8px',
      fontFamily: theme.typography.fontFamilyMonospace,
      fontSize: theme.typography.bodySmall.fontSize,
      cursor: 'pointer',
      '&:hover': { background: theme.colors.action.hover },
    }),
    chosen: css({ background: theme.colors.action.selected }),
    label: colour('blue'),
    string: colour('green'),
    operator: css({ color: theme.colors.text.secondary }),
    bracket: css({ color: theme.colors.text.secondary }),
    function: colour('purple'),
    number: colour('orange'),
    variable: colour('orange'),
    text: css({}),
  } satisfies Record<TokenKind | string, string>;
};
