//! Finds the values of logfmt and JSON lines that are data: whatever stands there, the line says the same.
//!
//! A value is *data* unless its key is one under which programs write what happened (`msg`, `err`, `status`, …) or it is
//! a text of several words. `ring=compactor` and `ring=distributor` are one template, `err="connection refused"` and
//! `err="permission denied"` are two. It does not check that a line is well-formed: what it cannot follow is plain text.

use std::ops::Range;

/// Keys whose value is never data, lowercase; also those that end with `-` or `_` and one of them.
const TELLING: [&[u8]; 20] = [
    b"msg",
    b"message",
    b"err",
    b"error",
    b"errors",
    b"reason",
    b"cause",
    b"level",
    b"lvl",
    b"severity",
    b"event",
    b"status",
    b"state",
    b"code",
    b"exception",
    b"caller",
    b"details",
    b"detail",
    b"stacktrace",
    b"warning",
];

/// Pairs of a line beyond this many are plain text.
const MAX_PAIRS: usize = 64;

/// Writes the places of the values of `line` that are data to `data`, in order; quotes are not part of them.
pub(super) fn data(line: &[u8], data: &mut Vec<Range<usize>>) {
    data.clear();
    if line.first() == Some(&b'{') {
        json(line, data);
    } else {
        let (start, end) = super::clock::leading(line);
        logfmt(line, if start == 0 { end } else { 0 }, data);
    }
}

fn telling(key: &[u8]) -> bool {
    let last = key.rsplit(|b| matches!(b, b'-' | b'_' | b'.')).next().unwrap_or(key);
    TELLING.iter().any(|word| last.eq_ignore_ascii_case(word))
}

/// Three words or more, as a sentence has.
fn text(value: &[u8]) -> bool {
    value.iter().filter(|&&b| b == b' ').count() >= 2 && !matches!(value.first(), Some(b'{' | b'['))
}

fn logfmt(line: &[u8], from: usize, data: &mut Vec<Range<usize>>) {
    let mut at = from;
    for _ in 0..MAX_PAIRS {
        at += line[at..].iter().take_while(|&&b| b == b' ').count();
        let key = line[at..]
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/'))
            .count();
        if key == 0 || line.get(at + key) != Some(&b'=') {
            return;
        }
        let name = &line[at..at + key];
        at += key + 1;
        let quoted = line.get(at) == Some(&b'"');
        let value = if quoted {
            let Some(end) = quote_end(line, at + 1) else { return };
            at + 1..end
        } else {
            at..at + bare(&line[at..])
        };
        at = value.end + usize::from(quoted);
        if !telling(name) && !text(&line[value.clone()]) {
            data.push(value);
        }
    }
}

/// Length of a value without quotes: up to the space before the next key, for some programs write lists with spaces.
fn bare(rest: &[u8]) -> usize {
    let mut open = 0usize;
    for (n, &byte) in rest.iter().enumerate() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            b' ' if open == 0 => return n,
            _ => {}
        }
    }
    if open == 0 { rest.len() } else { rest.iter().position(|&b| b == b' ').unwrap_or(rest.len()) }
}

/// Where the string that begins at `from` ends.
fn quote_end(line: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        match line.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn json(line: &[u8], data: &mut Vec<Range<usize>>) {
    let space = |at: usize| at + line[at.min(line.len())..].iter().take_while(|&&b| b == b' ').count();
    let mut at = 1;
    for _ in 0..MAX_PAIRS {
        at = space(at);
        if line.get(at) != Some(&b'"') {
            return;
        }
        let Some(end) = quote_end(line, at + 1) else { return };
        let name = &line[at + 1..end];
        at = space(end + 1);
        if line.get(at) != Some(&b':') {
            return;
        }
        at = space(at + 1);
        let Some(value) = json_value(line, at) else { return };
        at = space(value.end + usize::from(line.get(at) == Some(&b'"')));
        if !telling(name) && !text(&line[value.clone()]) {
            data.push(value);
        }
        if line.get(at) != Some(&b',') {
            return;
        }
        at += 1;
    }
}

/// The value that begins at `at`: what is between the quotes of a string, or all of anything else.
fn json_value(line: &[u8], at: usize) -> Option<Range<usize>> {
    if line.get(at)? == &b'"' {
        return Some(at + 1..quote_end(line, at + 1)?);
    }
    let (mut open, mut end) = (0usize, at);
    loop {
        match line.get(end)? {
            b'"' => end = quote_end(line, end + 1)?,
            b'[' | b'{' => open += 1,
            b']' | b'}' if open > 0 => open -= 1,
            b',' | b'}' | b']' if open == 0 => return Some(at..end),
            _ => {}
        }
        end += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Vec<&str> {
        let mut ranges = Vec::new();
        data(line.as_bytes(), &mut ranges);
        ranges.into_iter().map(|range| &line[range]).collect()
    }

    #[test]
    fn data_is_told_from_what_happened() {
        assert_eq!(
            found(r#"level=info ring=compactor msg="not found" n=3 b="a b c" q="x\" y""#),
            ["compactor", "3", "x\\\" y"]
        );
        assert_eq!(
            found(r#"{"level":"warn","msg":"x","urls":["a","b"],"o":{"k":1},"error-code":5,"t":true}"#),
            [r#"["a","b"]"#, r#"{"k":1}"#, "true"]
        );
        assert_eq!(
            found("level=debug alerts=[A[1][active] B[2][active]] msg=flushing"),
            ["A[1][active] B[2][active]]"].map(|_| "[A[1][active] B[2][active]]")
        );
        assert_eq!(found("plain text a=b"), Vec::<&str>::new());
        assert_eq!(found("2026/11/23 22:03:59 a=b c"), ["b"]);
    }

    #[test]
    fn broken_lines_are_followed_as_far_as_they_go() {
        for line in [
            "{",
            "{\"",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":\"",
            "{\"a\":[",
            "a=",
            "a=\"",
            "a=\"\\",
            "a=[b c",
            "{\"a\":1,",
            "=",
            "{}",
        ] {
            found(line);
        }
        assert_eq!(found("a=[b c=d"), ["[b", "d"]);
    }
}
