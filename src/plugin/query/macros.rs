//! Grafana's variables in a LogQL query that arrive as they were written: alert rules have no frontend to fill them in.

use std::time::Duration;

use crate::plugin::request::NS_PER_MS;
use crate::stream::TimeRange;

/// What the variables stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Macros {
    /// The time range.
    pub(super) range: TimeRange,
    /// Its length.
    pub(super) length: Duration,
    /// The time between two points of a graph.
    pub(super) interval: Duration,
}

/// Fills in `$__range`, `$__range_s`, `$__range_ms`, `$__interval`, `$__interval_ms`, `$__from` and `$__to` (milliseconds
/// since the Unix epoch), with or without braces. Anything else is left to Loki, which says what it does not know.
pub(super) fn expand(expr: &str, macros: &Macros) -> String {
    let mut text = String::with_capacity(expr.len());
    let mut rest = expr;
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        match variable(rest).and_then(|(name, length)| Some((value(name, macros)?, length))) {
            Some((value, length)) => {
                text.push_str(&value);
                rest = &rest[length..];
            }
            None => {
                text.push('$');
                rest = &rest[1..];
            }
        }
    }
    text.push_str(rest);
    text
}

/// The name of the variable at the start of a text, and how many bytes it takes.
fn variable(text: &str) -> Option<(&str, usize)> {
    let word = |text: &str| text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    if let Some(braced) = text.strip_prefix("${") {
        let length = word(braced);
        return braced[length..].starts_with('}').then(|| (&braced[..length], length + 3));
    }
    let name = text.strip_prefix('$')?;
    let length = word(name);
    Some((&name[..length], length + 1))
}

fn value(name: &str, macros: &Macros) -> Option<String> {
    let (length, interval) = (macros.length, macros.interval.max(Duration::from_millis(1)));
    Some(match name {
        "__range" => format!("{}s", length.as_secs().max(1)),
        "__range_s" => length.as_secs().max(1).to_string(),
        "__range_ms" => length.as_millis().to_string(),
        "__interval" => format!("{}ms", interval.as_millis()),
        "__interval_ms" => interval.as_millis().to_string(),
        "__from" => (macros.range.start / NS_PER_MS).to_string(),
        "__to" => (macros.range.end / NS_PER_MS).to_string(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_variables_are_filled_in_and_others_left() {
        let macros = Macros {
            range: TimeRange { start: 5_000_000, end: 905_000_000_000 },
            length: Duration::from_secs(900),
            interval: Duration::from_secs(15),
        };
        for (expr, expected) in [
            ("rate({a=\"b\"}[$__range])", "rate({a=\"b\"}[900s])"),
            ("[${__range_s}] [$__range_ms] [$__interval]", "[900] [900000] [15000ms]"),
            ("$__from ${__to} $__interval_ms", "5 905000 15000"),
            ("{a=~\"x$\"} |~ `$1 $__ran ${namespace} $`", "{a=~\"x$\"} |~ `$1 $__ran ${namespace} $`"),
            ("${__range", "${__range"),
            ("é$__range€", "é900s€"),
        ] {
            assert_eq!(expand(expr, &macros), expected);
        }
    }
}
