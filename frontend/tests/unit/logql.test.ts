import { completed } from '../../src/completion';
import { certainLabels, context, tokens } from '../../src/logql';

/** The context at the `^` in a text. */
const at = (marked: string) => {
  const caret = marked.indexOf('^');
  return context(marked.replace('^', ''), caret);
};

/** The text after a completion is taken at the `^`, with the new caret marked. */
const taken = (marked: string, option: string) => {
  const found = at(marked);
  if (!found) {
    return undefined;
  }
  const { inserted, caret } = completed(marked.replace('^', ''), found, option);
  return `${inserted.slice(0, caret)}^${inserted.slice(caret)}`;
};

test('tokens together are the text, whatever it is', () => {
  for (const text of [
    '{a="b"} |= "x"',
    '{a=~`b\\`, c!="',
    'sum(rate({x="$y"}[5m]))',
    '"\\',
    '🙂 {',
    `$${'{a:regex}'} [[b]] $__range`,
  ]) {
    expect(
      tokens(text)
        .map((token) => token.text)
        .join(''),
    ).toBe(text);
  }
});

test('labels, strings, parsers and variables are told apart', () => {
  const kinds = (text: string) =>
    tokens(text)
      .filter(({ text }) => text.trim())
      .map(({ kind, text }) => `${kind} ${text}`);
  expect(kinds('{ns="a"} | json |~ "$x" | limit > 5m')).toEqual([
    'bracket {',
    'label ns',
    'operator =',
    'string "a"',
    'bracket }',
    'operator |',
    'function json',
    'operator |~',
    'string "$x"',
    'operator |',
    'label limit',
    'operator >',
    'number 5m',
  ]);
});

test('what is typed at the caret decides what is offered', () => {
  expect(at('^')).toMatchObject({ kind: 'start' });
  expect(at('{^')).toMatchObject({ kind: 'label', typed: '' });
  expect(at('{name^')).toMatchObject({ kind: 'label', typed: 'name', from: 1, to: 5 });
  expect(at('{a="b", na^me="x"}')).toMatchObject({ kind: 'label', typed: 'na', from: 8, to: 12 });
  expect(at('{ns="mo^"}')).toMatchObject({ kind: 'value', label: 'ns', typed: 'mo', from: 5, to: 7 });
  expect(at('{ns="mo^')).toMatchObject({ kind: 'value', label: 'ns', typed: 'mo', to: 7 });
  expect(at('{ns=^')).toMatchObject({ kind: 'value', label: 'ns', quoted: false });
  expect(at('{ns="a"}^')).toMatchObject({ kind: 'stage' });
  expect(at('{ns="a"} |^')).toMatchObject({ kind: 'stage', typed: '|' });
  expect(at('{ns="a"^}')).toBeUndefined();
  expect(at('{ns="a"} |= "fo^o"')).toBeUndefined();
});

test('a completion lands where it belongs, with the caret where one types on', () => {
  expect(taken('^', '{')).toBe('{^}');
  expect(taken('{^}', 'namespace')).toBe('{namespace="^"}');
  expect(taken('{na^="x"}', 'namespace')).toBe('{namespace^="x"}');
  expect(taken('{ns="mo^"}', 'monitoring')).toBe('{ns="monitoring"^}');
  expect(taken('{ns="mo^', 'monitoring')).toBe('{ns="monitoring"^');
  expect(taken('{ns=^}', 'a"b')).toBe('{ns="a\\"b"^}');
  expect(taken('{ns="a"}^', '|= ""')).toBe('{ns="a"} |= "^"');
  expect(taken('{ns="a"} |^', '| json')).toBe('{ns="a"} | json^');
});

test('only what every stream has is taken for a route preview', () => {
  expect(certainLabels('{ns="a", c=~"b.*", d!="e", f="g"} |= "x=\\"y\\""')).toEqual({ ns: 'a', f: 'g' });
  expect(certainLabels('{ns="half')).toEqual({});
});
