//! Secrets that are known by the key or header they are assigned to.
//!
//! The key is found by a pattern, its value by hand, because quoting nests: JSON inside a logfmt value inside JSON. Log
//! text is untrusted: whatever a line repeats, it is read a bounded number of times ([`Reaches`]).

use regex::Regex;

use super::reach::{Reach, Reaches};
use super::{Kind, Span, looks_secret, regex};

/// Words that end a key whose value is secret.
const KEY: &str = concat!(
    r"(?i-u)(?:api|access|secret|private|encryption|signing|auth|account|shared|master|session|hash|license|ssh)[_-]?key",
    r"|password|passwd|passwort|passphrase|pwd|pass|secret|token|credentials?|signature|sig|auth"
);

const SCHEMES: &str = r"(?i-u:bearer|basic|token|digest|negotiate|ntlm|apikey|aws4-hmac-sha256)";

#[derive(Debug)]
pub(super) struct Rules {
    key: Regex,
    authorization: Regex,
    scheme: Regex,
    cookie: Regex,
}

impl Rules {
    pub(super) fn new() -> Self {
        Self {
            key: regex(KEY),
            authorization: regex(&format!(
                r#"(?i:authorization)\\*["']?\s*(?:=>|[:=]|%3[aA])(?:\s|%20|\+)*\[?\\*["']?({SCHEMES}(?:\s|%20|\+)+)?([^\s"'\\\],]+)"#
            )),
            scheme: regex(r#"(?i-u)\b(?:bearer|basic)(?:\s|%20|\+|:\s?)\s*([A-Za-z0-9._~+/-]{8,}=*)"#),
            cookie: regex(
                r#"(?i:\bcookie)\\*["']?\s*(?:=>|[:=])\s*\[?\\*["']?([A-Za-z0-9_.%!#$&*^|~-]{1,80}=[^"'\\\r\n\]]+)"#,
            ),
        }
    }

    pub(super) fn find(&self, line: &str, spans: &mut Vec<Span>) {
        let mut reaches = Reaches::default();
        self.headers(line, &mut reaches, spans);
        for found in self.key.find_iter(line) {
            if let Some(key) = Key::at(line, found.start(), found.end(), &mut reaches)
                && let Some((start, end)) = key.value(line, &mut reaches)
            {
                spans.push(Span { start, end, kind: key.kind });
            }
        }
    }

    fn headers(&self, line: &str, reaches: &mut Reaches, spans: &mut Vec<Span>) {
        for groups in self.authorization.captures_iter(line) {
            let Some(value) = groups.get(2) else { continue };
            // These two schemes carry a list of parameters; its end is the quote's, or the line's.
            let list = groups.get(1).is_some_and(|s| s.as_str().to_ascii_lowercase().starts_with(['a', 'd']));
            let end = if list { reaches.list.end(value.end(), |at| stretch(line, at)) } else { value.end() };
            // A scheme makes certain; without one, `authorization: denied` is a sentence.
            let replaced = value.as_str().trim_start_matches('[').starts_with("REDACTED:");
            if !replaced && (groups.get(1).is_some() || looks_secret(value.as_str())) {
                spans.push(Span { start: value.start(), end, kind: Kind::Auth });
            }
        }
        for value in self.scheme.captures_iter(line).filter_map(|groups| groups.get(1)) {
            if looks_secret(value.as_str()) {
                spans.push(Span { start: value.start(), end: value.end(), kind: Kind::Auth });
            }
        }
        for value in self.cookie.captures_iter(line).filter_map(|groups| groups.get(1)) {
            // As logfmt (`cookie=a=b next=1`) the value ends at a space; as a header it may go on.
            let logfmt = line[..value.start()].ends_with('=');
            let end = if logfmt { value.as_str().find(char::is_whitespace) } else { None };
            let end = end.map_or(value.end(), |at| value.start() + at);
            spans.push(Span { start: value.start(), end, kind: Kind::Cookie });
        }
    }
}

fn stretch(line: &str, from: usize) -> usize {
    line[from..].find(['"', '\'', '\\', ']']).map_or(line.len(), |at| from + at)
}

/// How sure the key makes us that its value is secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Any value is.
    Password,
    /// A value is, unless it is a number, a path or the name of an object.
    Token,
    /// Only one that looks like it: the word is common.
    Weak,
}

/// A key in a line: where its last word ends, and what stands around it.
struct Key {
    end: usize,
    class: Class,
    kind: Kind,
    /// The key opens right after a quote, as in JSON.
    quoted: bool,
    /// The key is a command-line flag.
    flag: bool,
    /// The key is an XML element.
    element: bool,
    bare_secret: bool,
    pwd: bool,
}

impl Key {
    /// The key whose sensitive word is at `start..end`, if it is a whole key: not `tokens`, `secretName`, `bypass`.
    fn at(line: &str, start: usize, end: usize, reaches: &mut Reaches) -> Option<Self> {
        let bytes = line.as_bytes();
        let part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if bytes.get(end).is_some_and(|b| part(b) && *b != b'.') {
            return None;
        }
        let first = reaches.key.start(bytes, start, part);
        let word = line[start..end].to_ascii_lowercase();
        let before = &bytes[first..start];
        let query = first.checked_sub(1).is_some_and(|i| matches!(bytes[i], b'?' | b'&'));
        let class = match word.as_str() {
            "pass" if before.last().is_none_or(|b| !b.is_ascii_alphabetic() || bytes[start] == b'P') => Class::Weak,
            "pass" => return None,
            "sig" if !(query && before.is_empty()) => return None,
            "signature" if !(query || before.ends_with(b"-")) => return None,
            "auth" if before.is_empty() || before == b"_" => Class::Weak,
            "auth" => return None,
            word if word.starts_with('p') && !word.starts_with("priv") => Class::Password,
            _ => Class::Token,
        };
        // etcd's `initial-cluster-token` is a name that all members share, and the evidence of a mixed-up cluster.
        let last = before.last_chunk::<16>();
        if word == "token" && last.is_some_and(|last| last.eq_ignore_ascii_case(b"initial-cluster-")) {
            return None;
        }
        let opener = first.checked_sub(1).map(|i| bytes[i]);
        Some(Self {
            end,
            class,
            kind: if matches!(word.as_bytes(), [b'p', b'a' | b'w', ..]) { Kind::Password } else { Kind::Token },
            quoted: matches!(opener, Some(b'"' | b'\'')),
            flag: before.starts_with(b"--"),
            element: opener == Some(b'<'),
            bare_secret: word == "secret" && before.is_empty(),
            pwd: word == "pwd",
        })
    }

    /// Where the secret value lies, if there is one.
    fn value(&self, line: &str, reaches: &mut Reaches) -> Option<(usize, usize)> {
        let (sep, at) = self.separator(line)?;
        let (start, end, quoted) = extent(line, at, sep, reaches)?;
        let value = &line[start..end];
        let is_path = |path: &mut Reach| is_rooted(value) && path.end(start, |at| path_end(line, at)) >= end;
        let secret = match (sep, self.class) {
            _ if is_placeholder(value) => false,
            (_, Class::Password) if self.pwd && value.starts_with('/') => false,
            (Sep::Colon { .. }, Class::Password) if !quoted => {
                looks_secret(value) || value.len() >= 6 && !is_word(value) || sure(line, at, end)
            }
            (_, Class::Password) => true,
            (_, Class::Weak) => looks_secret(value) && !is_path(&mut reaches.path),
            (_, Class::Token) if is_number(value) || is_path(&mut reaches.path) => false,
            (_, Class::Token) if self.bare_secret && is_object(value) => false,
            (Sep::Colon { key_quoted: true } | Sep::Equals { spaced: false } | Sep::Flag | Sep::Element, _) => true,
            _ => looks_secret(value),
        };
        secret.then_some((start, end))
    }

    /// What stands between key and value, and where the value begins.
    fn separator(&self, line: &str) -> Option<(Sep, usize)> {
        let rest = &line[self.end..];
        if self.element && rest.starts_with('>') {
            return Some((Sep::Element, self.end + 1));
        }
        let unquoted = if self.quoted { rest.trim_start_matches('\\').trim_start_matches(['"', '\'']) } else { rest };
        let key_quoted = unquoted.len() < rest.len();
        let trimmed = unquoted.trim_start_matches([' ', '\t']);
        let spaced = trimmed.len() < unquoted.len();
        let (sep, length) = match trimmed.as_bytes() {
            [b'=', b'>', ..] | [b':', b'=', ..] => (Sep::Equals { spaced: false }, 2),
            [b'=', b'=', b' ', ..] => return None,
            [b'=', after, ..] => (Sep::Equals { spaced: spaced || *after == b' ' }, 1),
            [b'%', b'3', b'D' | b'd', ..] => (Sep::Equals { spaced: false }, 3),
            [b':', ..] => (Sep::Colon { key_quoted }, 1),
            [b'\'', ..] if spaced && self.class == Class::Password => (Sep::Equals { spaced: false }, 0),
            _ if spaced && self.flag && !trimmed.starts_with('-') => (Sep::Flag, 0),
            _ => return None,
        };
        let value = trimmed[length..].trim_start_matches([' ', '\t']);
        Some((sep, line.len() - value.len()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sep {
    Equals { spaced: bool },
    Colon { key_quoted: bool },
    Flag,
    Element,
}

/// The value that begins at `at`: without its quotes, and whether it has any.
fn extent(line: &str, at: usize, sep: Sep, reaches: &mut Reaches) -> Option<(usize, usize, bool)> {
    if sep == Sep::Element {
        return Some((at, line[at..].find('<').map_or(line.len(), |i| at + i), true));
    }
    if line[at..].starts_with("[REDACTED:") {
        return None;
    }
    let listed = line[at..].starts_with('[');
    let at = if listed { at + 1 } else { at };
    let rest = &line[at..];
    let slashes = rest.bytes().take_while(|b| *b == b'\\').count();
    if let Some(quote @ (b'"' | b'\'' | b'`')) = rest.as_bytes().get(slashes).copied() {
        let start = at + slashes + 1;
        return Some((start, closing(line, start, slashes, quote), true));
    }
    if rest.starts_with(['{', '(', '&', '<']) && !rest.starts_with("<-") {
        return None;
    }
    let stop = reaches.value[usize::from(listed)].end(at, |at| stop(line, at, listed));
    // A separator at the end is none of a value that something else ends.
    let separated = stop < line.len() && line[at..stop].ends_with([',', ';']);
    Some((at, stop - usize::from(separated), false))
}

/// The end of a quoted text: a quote behind no more backslashes than its opening had, or the line's end.
fn closing(line: &str, start: usize, slashes: usize, quote: u8) -> usize {
    let bytes = line.as_bytes();
    let mut run = 0;
    for (i, &b) in bytes.iter().enumerate().skip(start) {
        if b == quote && run <= slashes {
            return i - run;
        }
        run = if b == b'\\' { run + 1 } else { 0 };
    }
    bytes.len()
}

/// Where an unquoted value ends that begins at `at` or reaches beyond it. A comma, semicolon or ampersand ends it only
/// where another pair follows, because passwords contain them.
fn stop(line: &str, at: usize, listed: bool) -> usize {
    let rest = &line[at..];
    let stops = |(i, c): (usize, char)| match c {
        '"' | '\'' | '`' | '<' => true,
        '\\' => rest[i..].starts_with("\\n") || rest[i..].starts_with("\\\"") || rest[i..].starts_with("\\u0026"),
        ']' => listed,
        ',' | ';' | '&' => pair_follows(&rest[i + 1..]),
        ')' | '}' => rest[i + 1..].chars().next().is_none_or(|next| next.is_whitespace() || ",;\"".contains(next)),
        _ => c.is_whitespace(),
    };
    rest.char_indices().find(|&place| stops(place)).map_or(line.len(), |(i, _)| at + i)
}

fn pair_follows(rest: &str) -> bool {
    let key = rest.trim_start_matches(['"', '\'', ' ']);
    let length = key.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')).count();
    let sep = key[length..].trim_start_matches(['"', '\'']);
    rest.is_empty() || rest.starts_with(char::is_whitespace) || (length > 0 && sep.starts_with(['=', ':']))
}

/// `password: hunter` to the end of the line, or `Password:hunter` without a space, is an assignment; `password: too
/// short` is a sentence.
fn sure(line: &str, at: usize, end: usize) -> bool {
    let rest = line[end..].trim_start_matches(['"', '\'', '\\', ',', ';', ')', '}', ']']);
    line[..at].ends_with(':') || rest.trim().is_empty()
}

fn is_word(value: &str) -> bool {
    value.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'.' | b',' | b':' | b'-'))
}

/// Texts that stand where a value would, and hide none.
fn is_placeholder(value: &str) -> bool {
    const WORDS: [&str; 12] =
        ["", "null", "nil", "none", "true", "false", "undefined", "redacted", "hidden", "masked", "empty", "unset"];
    let around = |c: char| "<>[](){}.,;:".contains(c);
    let bare = value.trim_start_matches(around);
    let ends = |rest: &str| rest.chars().all(around);
    let is = |word: &&str| bare.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    WORDS.iter().any(|word| is(word) && ends(&bare[word.len()..]))
        || bare.starts_with("REDACTED:")
        || ends(bare.trim_start_matches(['*', 'x', 'X', '.']))
        || value.starts_with("${")
        || value.starts_with("{{")
}

fn is_number(value: &str) -> bool {
    value.len() <= 6 && value.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'%' | b','))
}

/// A file's path begins so, and goes on to [`path_end`]; it is told from base64 by having no capitals.
/// `token=/var/run/…` is configuration.
fn is_rooted(value: &str) -> bool {
    ["/", "./", "~/", "file:/"].iter().any(|root| value.starts_with(root))
}

fn path_end(line: &str, at: usize) -> usize {
    let of_path = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"/._-:~".contains(b);
    at + line.as_bytes()[at..].iter().take_while(|b| of_path(b)).count()
}

/// `namespace/name` of a Kubernetes object.
fn is_object(value: &str) -> bool {
    let name = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
    };
    value.split_once('/').is_some_and(|(namespace, object)| name(namespace) && name(object))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    static RULES: LazyLock<Rules> = LazyLock::new(Rules::new);

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_remembered_of_a_line_changes_nothing(
            parts in prop::collection::vec(prop::sample::select(vec![
                "password", "token", "secret", "auth", "pwd", "_key", "x.", "=", "=", ":", ": ", "\"", "\\\"", "'", "[", "]",
                " ", "/", "/var/run", "é", "ab12CD34ef", "a", ",", ";", ",a=", "&", ")", "}", "${", "<", "***", "--", "?",
                "REDACTED:", "initial-cluster-", ".",
            ]), 0..32)
        ) {
            let line = parts.concat();
            let (mut all, mut each) = (Vec::new(), Vec::new());
            RULES.find(&line, &mut all);
            RULES.headers(&line, &mut Reaches::default(), &mut each);
            for found in RULES.key.find_iter(&line) {
                let key = Key::at(&line, found.start(), found.end(), &mut Reaches::default());
                let value = key.and_then(|key| Some((key.value(&line, &mut Reaches::default())?, key.kind)));
                each.extend(value.map(|((start, end), kind)| Span { start, end, kind }));
            }
            prop_assert_eq!(all, each, "{}", line);
        }
    }
}
