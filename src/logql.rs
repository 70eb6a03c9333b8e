//! Just enough of LogQL to find the stream selectors in a query, what its cost is asked by and where it can be narrowed,
//! and to tell a log query from one that gives numbers.
//!
//! Strings and comments are skipped, nothing is validated: Loki itself says what is wrong with a query.

use std::ops::Range;
use std::time::Duration;

use crate::problem::excerpt;
use crate::stream::Labels;

/// The stream selectors of a query, braces included, in their order. A selector that is not closed is left out.
pub fn selectors(query: &str) -> Vec<&str> {
    spans(query).into_iter().map(|span| &query[span]).collect()
}

/// Whether what a query gives are log lines. What a metric query reads is not known by its time range, so that no guard
/// could rule on it.
///
/// # Errors
/// In words, without a subject, for a query without a selector and for a metric query.
pub fn gives_lines(query: &str) -> Result<(), &'static str> {
    if selectors(query).is_empty() {
        return Err("has no stream selector: give LogQL such as {namespace=\"monitoring\"}");
    }
    let mut rest = query.trim_start();
    // A log query is a selector and what follows it, maybe in parentheses; whatever gives numbers begins otherwise.
    while let Some(after) = rest.strip_prefix('(').or_else(|| rest.strip_prefix('#').map(after_comment)) {
        rest = after.trim_start();
    }
    match rest.starts_with('{') {
        true => Ok(()),
        false => Err(
            "is a metric query, and what is analysed are log lines: give a log query such as {namespace=\"monitoring\"}",
        ),
    }
}

fn after_comment(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, after)| after)
}

/// The query with each selector narrowed to the one stream with these labels; `None` if it has no selector.
pub fn narrowed(query: &str, labels: &Labels) -> Option<String> {
    let matchers: Vec<String> = labels.0.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
    let matchers = matchers.join(", ");
    let (mut text, mut done) = (String::with_capacity(query.len() + matchers.len() + 2), 0);
    for span in spans(query) {
        let inside = span.start + 1..span.end - 1;
        let comma = if query[inside.clone()].trim().is_empty() || matchers.is_empty() { "" } else { ", " };
        // In front, because what stands there may end with a comment.
        text.push_str(&query[done..inside.start]);
        text.push_str(&matchers);
        text.push_str(comma);
        done = inside.start;
    }
    text.push_str(&query[done..]);
    (done > 0).then_some(text)
}

/// A length of time as Loki and Grafana write it: `15m`, `1h30m`, `2d`.
///
/// # Errors
/// In words, for anything else, zero and more than a hundred years included.
pub fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 7] = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
        ("w", 604_800_000),
        ("y", 31_536_000_000),
    ];
    let refused = || format!("`{}` is not a duration such as 15m, 6h or 2d", excerpt(text));
    let (mut rest, mut sum) = (text.trim(), 0_u64);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = rest.split_at(digits);
        let (unit, ms) = UNITS.into_iter().find(|(name, _)| unit.starts_with(name)).ok_or_else(refused)?;
        let part = number.parse().ok().and_then(|number: u64| number.checked_mul(ms)).ok_or_else(refused)?;
        sum = sum.checked_add(part).ok_or_else(refused)?;
        rest = &rest[digits + unit.len()..];
    }
    // Beyond the calendar of nanoseconds nothing can be asked.
    if (1..=100 * UNITS[6].1).contains(&sum) { Ok(Duration::from_millis(sum)) } else { Err(refused()) }
}

/// A LogQL string: Go's escapes, of which these are enough.
fn quoted(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 2);
    text.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if c.is_control() => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

fn spans(query: &str) -> Vec<Range<usize>> {
    let bytes = query.as_bytes();
    let (mut spans, mut open, mut at) = (Vec::new(), None, 0);
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'"' | b'`') => at = string_end(bytes, at, quote),
            b'#' => at = bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |line| at + line),
            b'{' => open = Some(at),
            b'}' => spans.extend(open.take().map(|start| start..at + 1)),
            _ => {}
        }
        at += 1;
    }
    spans
}

/// Where the string that starts at `start` is closed.
fn string_end(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' && quote == b'"' { 2 } else { 1 };
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn selectors_are_found_outside_strings_and_comments() {
        for (query, expected) in [
            (r#"{app="a}b"} |= "{x}""#, vec![r#"{app="a}b"}"#]),
            (r#"sum(rate({app="a"}[5m])) / sum(rate({app=~`b{2}`}[5m]))"#, vec![r#"{app="a"}"#, "{app=~`b{2}`}"]),
            ("# {no}\n{app=\"a\\\"}\"} | line_format \"{{.x}}\"", vec!["{app=\"a\\\"}\"}"]),
            (r#"{app="a""#, vec![]),
            ("1+1", vec![]),
        ] {
            assert_eq!(selectors(query), expected, "{query}");
        }
    }

    #[test]
    fn a_log_query_is_told_from_one_that_gives_numbers() {
        for query in
            [r#"{app="a"}"#, "\n(( {app=\"a\"} |= \"x\" ))", "# sum(x\n{app=\"a\"} | json", "(# x\n#\n{a=\"b\"})"]
        {
            assert_eq!(gives_lines(query), Ok(()), "{query}");
        }
        for query in [
            r#"count_over_time({job=~".+"}[90d])"#,
            r#"(sum(rate({app="a"}[5m])))"#,
            "# {app=\"a\"}\nrate({app=\"a\"}[5m])",
            r#"1 + count_over_time({app="a"}[5m])"#,
        ] {
            assert!(gives_lines(query).unwrap_err().contains("metric query"), "{query}");
        }
        for query in ["up", "", "# {app=\"a\"}", "(", "#"] {
            assert!(gives_lines(query).unwrap_err().contains("no stream selector"), "{query}");
        }
    }

    #[test]
    fn a_narrowed_query_selects_one_stream() {
        let labels: Labels = [("app", "a\"\\\n"), ("pod", "p")].into_iter().collect();
        let narrow = narrowed(r#"{app=~"a.*" } |= "{x}" | json"#, &labels);
        assert_eq!(narrow.as_deref(), Some(r#"{app="a\"\\\n", pod="p", app=~"a.*" } |= "{x}" | json"#));
        assert_eq!(narrowed("vector(1)", &labels), None);
        assert_eq!(narrowed(r#"{a="b"}"#, &Labels::default()).as_deref(), Some(r#"{a="b"}"#));
    }

    #[test]
    fn durations_are_read_as_loki_reads_them() {
        let read = |text: &str| duration(text).map(|length| length.as_millis());
        for (text, ms) in
            [("15m", 900_000), ("1h30m", 5_400_000), ("2d", 172_800_000), ("250ms", 250), (" 1w ", 604_800_000)]
        {
            assert_eq!(read(text), Ok(ms), "{text}");
        }
        for bad in ["", "h", "-1h", "0s", "5", "1.5h", "9223372036854775807d", "1é", "200y", "m5"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_query_makes_it_panic(query in "\\PC{0,60}|[{}\"`#\\\\a=é\n]{0,40}") {
            let labels: Labels = [("app", "é")].into_iter().collect();
            let found = selectors(&query).len();
            let _ = gives_lines(&query);
            let narrow = narrowed(&query, &labels);
            prop_assert_eq!(narrow.is_some(), found > 0);
            prop_assert_eq!(narrow.map_or(0, |narrow| selectors(&narrow).len()), found);
        }
    }
}
