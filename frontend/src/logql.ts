// As much of LogQL as an editor needs: tokens to colour, and what could be typed at the caret. The backend parses; this
// only reads from left to right and never refuses anything.

export type TokenKind = 'label' | 'string' | 'operator' | 'bracket' | 'function' | 'number' | 'variable' | 'text';

export interface Token {
  kind: TokenKind;
  text: string;
  at: number;
}

const STAGES = [
  'json',
  'logfmt',
  'regexp',
  'pattern',
  'unpack',
  'line_format',
  'label_format',
  'decolorize',
  'drop',
  'keep',
];

const PATTERNS: Array<[TokenKind, RegExp]> = [
  ['variable', /^\$(?:\{[^}]*\}?|__?\w+|\w+)|^\[\[\w+\]\]/],
  ['string', /^"(?:\\.|[^"\\])*"?|^`[^`]*`?/],
  ['operator', /^(?:\|=|\|~|\|>|!=|!~|!>|=~|==|>=|<=|=|>|<|\|)/],
  ['bracket', /^[{}()[\],]/],
  ['number', /^\d+(?:\.\d+)?(?:[a-z]+)?/],
  ['label', /^[A-Za-z_][\w.]*/],
  ['text', /^\s+|^./s],
];

/** The text as tokens; together they are the text. */
export function tokens(text: string): Token[] {
  const found: Token[] = [];
  for (let at = 0; at < text.length; ) {
    const token = next(text, at);
    found.push(token);
    at += token.text.length;
  }
  return found.map((token, index) => (isStage(found, index) ? { ...token, kind: 'function' } : token));
}

function next(text: string, at: number): Token {
  const rest = text.slice(at);
  for (const [kind, pattern] of PATTERNS) {
    const match = pattern.exec(rest);
    if (match?.[0]) {
      return { kind, text: match[0], at };
    }
  }
  return { kind: 'text', text: rest.charAt(0), at };
}

/** A word outside of braces, right after a pipe, is a parser or a formatter. */
function isStage(all: Token[], index: number): boolean {
  const token = all[index];
  const before = all
    .slice(0, index)
    .filter((other) => other.text.trim() !== '')
    .at(-1);
  return token?.kind === 'label' && before?.text === '|' && STAGES.includes(token.text);
}

/** What is being typed at the caret, and which part of the text a completion replaces. */
export type Context =
  | { kind: 'label'; from: number; to: number; typed: string }
  | { kind: 'value'; label: string; from: number; to: number; typed: string; quoted: boolean }
  | { kind: 'stage'; from: number; to: number; typed: string }
  | { kind: 'start'; from: number; to: number; typed: string };

export function context(text: string, caret: number): Context | undefined {
  const all = tokens(text);
  if (text.slice(0, caret).trim() === '') {
    return { kind: 'start', from: 0, to: caret, typed: '' };
  }
  const before = all.filter((token) => token.at < caret);
  const depth = before.reduce((depth, { text }) => depth + (text === '{' ? 1 : text === '}' ? -1 : 0), 0);
  const last = before.at(-1);
  if (!last) {
    return undefined;
  }
  const within = caret < last.at + last.text.length || isOpen(last);
  return depth > 0 ? inSelector(before, last, caret) : afterSelector(before, last, caret, within);
}

function inSelector(before: Token[], last: Token, caret: number): Context | undefined {
  const told = before.filter((token) => token.text.trim() !== '');
  if (last.kind === 'string') {
    const closed = !isOpen(last);
    if (closed && caret === last.at + last.text.length) {
      return undefined;
    }
    const label = labelBefore(told, told.length - 1);
    const typed = last.text.slice(1, caret - last.at);
    const to = last.at + last.text.length - (closed ? 1 : 0);
    return label ? { kind: 'value', label, from: last.at + 1, to, typed, quoted: true } : undefined;
  }
  const previous = told.at(-1);
  if (previous?.kind === 'operator') {
    const label = labelBefore(told, told.length);
    return label ? { kind: 'value', label, from: caret, to: caret, typed: '', quoted: false } : undefined;
  }
  if (last.kind === 'label') {
    return { kind: 'label', from: last.at, to: last.at + last.text.length, typed: last.text.slice(0, caret - last.at) };
  }
  return previous?.text === '{' || previous?.text === ','
    ? { kind: 'label', from: caret, to: caret, typed: '' }
    : undefined;
}

/** The label of the matcher whose value stands at `index`. */
function labelBefore(told: Token[], index: number): string | undefined {
  const [label, operator] = [told[index - 2], told[index - 1]];
  return label?.kind === 'label' && operator?.kind === 'operator' ? label.text : undefined;
}

function afterSelector(before: Token[], last: Token, caret: number, within: boolean): Context | undefined {
  const selected = before.some((token) => token.text === '}');
  if (!selected || (last.kind === 'string' && within)) {
    return undefined;
  }
  if (last.text === '|') {
    return { kind: 'stage', from: last.at, to: caret, typed: '|' };
  }
  return last.text.trim() === '' || last.text === '}'
    ? { kind: 'stage', from: caret, to: caret, typed: '' }
    : undefined;
}

function isOpen(token: Token): boolean {
  const quote = token.text.charAt(0);
  return token.kind === 'string' && (token.text.length === 1 || !token.text.endsWith(quote));
}

/** Stages as they are offered after a selector. */
export const STAGE_SUGGESTIONS = [
  '|= ""',
  '!= ""',
  '|~ ""',
  '!~ ""',
  ...STAGES.slice(0, 3).map((stage) => `| ${stage}`),
  '| pattern ``',
];

/** The equality matchers of the first selector: labels that every stream of the query certainly has. */
export function certainLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  const told = tokens(text).filter((token) => token.text.trim() !== '');
  const end = told.findIndex((token) => token.text === '}');
  const selector = end < 0 ? told : told.slice(0, end);
  selector.forEach((token, index) => {
    const [label, operator] = [selector[index - 2], selector[index - 1]];
    if (token.kind === 'string' && operator?.text === '=' && label?.kind === 'label' && !isOpen(token)) {
      labels[label.text] = token.text.slice(1, -1);
    }
  });
  return labels;
}
