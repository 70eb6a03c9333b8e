//! Values as a reader sees them, and text from outside made harmless.

use std::fmt::Write as _;

use crate::run::Run;
use crate::score::{Metric, Unit};

/// What stands for a value that was not measured or does not apply.
pub(super) const MISSING: &str = "—";

/// The letter by which a page calls its `index`-th run.
pub(super) fn letter(index: usize) -> String {
    char::from(b'A' + u8::try_from(index).unwrap_or(25).min(25)).to_string()
}

/// Letter, arm and, where it is one, the warning: what a run is called in plots and captions.
pub(super) fn label(runs: &[Run], index: usize) -> String {
    let plan = &runs[index].record.plan;
    let demo = if plan.model.spec.demo { " (demo model)" } else { "" };
    let sample = if plan.sample { " (sample data)" } else { "" };
    format!("{} {}{demo}{sample}", letter(index), plan.arm.name)
}

/// A value in its metric's unit.
pub(super) fn value(metric: Metric, value: f64) -> String {
    match metric.unit() {
        Unit::Share => format!("{:.1} %", value * 100.0),
        Unit::Milliseconds => milliseconds(value),
        Unit::Tokens => format!("{value:.0}"),
        Unit::Steps | Unit::Count => format!("{value:.2}"),
    }
}

/// An interval in its metric's unit, without the unit's name where that is the value's.
pub(super) fn interval(metric: Metric, low: Option<f64>, high: Option<f64>) -> Option<String> {
    let (low, high) = (low?, high?);
    Some(match metric.unit() {
        Unit::Share => format!("{:.1} to {:.1}", low * 100.0, high * 100.0),
        Unit::Milliseconds if high < 10_000.0 => {
            let bare = |value| milliseconds(value).trim_end_matches(" ms").to_owned();
            format!("{} to {}", bare(low), bare(high))
        }
        // Milliseconds and seconds may meet.
        Unit::Milliseconds => format!("{} to {}", milliseconds(low), milliseconds(high)),
        _ => format!("{} to {}", value(metric, low), value(metric, high)),
    })
}

/// A duration with a sensible number of digits.
pub(super) fn milliseconds(value: f64) -> String {
    match value {
        _ if value < 10.0 => format!("{value:.1} ms"),
        _ if value < 10_000.0 => format!("{value:.0} ms"),
        _ => format!("{:.1} s", value / 1000.0),
    }
}

/// A difference with a true minus sign, so that columns of figures line up.
pub(super) fn signed(metric: Metric, value: f64) -> String {
    let size = crate::compare::amount(metric, value.abs());
    // What rounds to zero has no sign.
    match size.chars().any(|c| matches!(c, '1'..='9')) {
        true if value < 0.0 => format!("\u{2212}{size}"),
        true => format!("+{size}"),
        false => size,
    }
}

/// A p-value; below what is worth printing, the bound.
pub(super) fn p_value(p: f64) -> String {
    if p < 0.0005 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

/// Text from outside with every character that could change how its neighbours read made visible: controls, the
/// bidirectional ones that reorder a line, and those of no width. Tabs and line ends stay.
pub(super) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_deceptive(c) {
            // Writing to a String cannot fail.
            let _ = write!(clean, "\\u{{{:x}}}", u32::from(c));
        } else {
            clean.push(c);
        }
    }
    clean
}

fn is_deceptive(c: char) -> bool {
    let reorders =
        matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let hides = matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' | '\u{2028}' | '\u{2029}');
    reorders || hides || (c.is_control() && !matches!(c, '\t' | '\n'))
}

/// Text as Markdown that shows just this text: no markup, mention, link or new line comes of it.
pub(super) fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut before = ' ';
    for c in clean(text).chars() {
        let starts_word = !before.is_alphanumeric();
        before = c;
        match c {
            '\n' | '\t' => escaped.push(' '),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '@' if starts_word => escaped.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' | '!' => {
                escaped.push('\\');
                escaped.push(c);
            }
            _ => escaped.push(c),
        }
    }
    // What GitHub would turn into a link by itself.
    escaped.replace("://", "&#58;//").replace("www.", "www&#46;")
}

/// Text as HTML that shows just this text, also within an attribute.
pub(super) fn html(text: &str) -> String {
    clean(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Text as a Markdown code span, also within a table.
pub(super) fn code(text: &str) -> String {
    let inner = clean(text).replace(['\n', '\t'], " ").replace('`', "'").replace('|', "\\|");
    format!("`{inner}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_deceive_becomes_visible() {
        assert_eq!(clean("a\u{202e}b\u{1b}[31m\tc\r"), "a\\u{202e}b\\u{1b}[31m\tc\\u{d}");
        assert_eq!(clean("höhe 日本"), "höhe 日本");
    }

    #[test]
    fn markdown_shows_the_text_and_nothing_else() {
        assert_eq!(
            markdown("a|b <i> @x t@1\n#1 [l](https://e)"),
            "a\\|b &lt;i&gt; &#64;x t@1 \\#1 \\[l\\](https&#58;//e)"
        );
        assert_eq!(code("a`b|c"), "`a'b\\|c`");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(value(Metric::RootCause, 0.70123), "70.1 %");
        assert_eq!(interval(Metric::RootCause, Some(0.1), None), None);
        let took = |low, high| interval(Metric::LatencyMs, Some(low), Some(high)).unwrap();
        assert_eq!((took(9.91, 1076.2), took(9_000.0, 12_345.0)), ("9.9 to 1076".into(), "9000 ms to 12.3 s".into()));
        assert_eq!(signed(Metric::RootCause, -0.05), "\u{2212}5.0 pp");
        assert_eq!(signed(Metric::RootCause, -0.0001), "0.0 pp");
        assert_eq!((milliseconds(3.21), milliseconds(61.4), milliseconds(12_345.0)).2, "12.3 s");
        assert_eq!((p_value(0.0001), p_value(0.0312)), ("< 0.001".to_owned(), "0.031".to_owned()));
    }
}
