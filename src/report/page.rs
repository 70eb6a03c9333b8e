//! The templates: everything that they print is escaped, but the styles and plots that are made here.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, Output, State, UndefinedBehavior, context, escape_formatter};

use super::{Report, plot, text};

const HTML: &str = include_str!("page.html");
const MACROS: &str = include_str!("macros.html");
const CASES: &str = include_str!("cases.html");
const STYLE: &str = include_str!("page.css");
const MARKDOWN: &str = include_str!("page.md");

pub(super) fn html(report: &Report) -> String {
    let style = format!("{}{STYLE}", plot::style());
    let rendered =
        environment().get_template("page.html").and_then(|page| page.render(context! { style, ..data(report) }));
    rendered.expect("the template is part of the program and tested with it")
}

pub(super) fn markdown(report: &Report) -> String {
    let rendered = environment().get_template("page.md").and_then(|page| page.render(data(report)));
    rendered.expect("the template is part of the program and tested with it")
}

fn data(report: &Report) -> Value {
    Value::from(Serde(report))
}

/// The file name decides: `.html` escapes by itself, Markdown through the filters `md`, `html` and `code`.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the delimiters are the usual ones"));
    environment.set_formatter(cleaned);
    environment.add_filter("md", |value: &str| text::markdown(value));
    environment.add_filter("html", |value: &str| text::html(value));
    environment.add_filter("code", |value: &str| text::code(value));
    for (name, source) in [("page.html", HTML), ("macros.html", MACROS), ("cases.html", CASES), ("page.md", MARKDOWN)] {
        environment.add_template(name, source).expect("the templates are part of the program and tested with it");
    }
    environment
}

fn cleaned(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    match value.as_str() {
        Some(text) if !value.is_safe() => escape_formatter(out, state, &Value::from(text::clean(text))),
        _ => escape_formatter(out, state, value),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Variables of a theme: those of the light one, and what the dark one overrides.
    fn theme(dark: bool) -> BTreeMap<String, [f64; 3]> {
        let style = format!("{}{STYLE}", plot::style());
        let mut found = BTreeMap::new();
        for line in style.lines().filter(|line| line.contains(":root{")) {
            if line.contains("dark)") && !dark {
                continue;
            }
            for declaration in line.split([';', '{', '}']) {
                let Some((name, value)) = declaration.split_once(':') else { continue };
                if let Some(rgb) = value.strip_prefix('#') {
                    found.insert(name.to_owned(), channels(rgb));
                }
            }
        }
        found
    }

    fn channels(hex: &str) -> [f64; 3] {
        let wide: String = if hex.len() == 3 { hex.chars().flat_map(|c| [c, c]).collect() } else { hex.to_owned() };
        [0, 2, 4].map(|at| f64::from(u8::from_str_radix(&wide[at..at + 2], 16).unwrap()) / 255.0)
    }

    /// WCAG 2.2, 1.4.3: relative luminances and their ratio.
    fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
        let linear = |c: f64| if c <= 0.04045 { c / 12.92 } else { libm::pow((c + 0.055) / 1.055, 2.4) };
        let luminance = |[r, g, b]: [f64; 3]| 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_and_marks_have_enough_contrast_in_light_and_in_dark() {
        for dark in [false, true] {
            let theme = theme(dark);
            let ratio = |a: &str, b: &str| contrast(theme[a], theme[b]);
            for ink in ["--ink", "--muted", "--good", "--bad", "--better", "--worse", "--equivalent", "--cannot-tell"] {
                for ground in ["--paper", "--panel"] {
                    assert!(ratio(ink, ground) >= 4.5, "{ink} on {ground}, dark {dark}: {:.2}", ratio(ink, ground));
                }
            }
            for ground in ["--heat-right", "--heat-wrong", "--heat-mixed", "--decisive"] {
                assert!(ratio("--ink", ground) >= 4.5, "{ground}, dark {dark}: {:.2}", ratio("--ink", ground));
            }
            assert!(ratio("--warn-ink", "--warn-paper") >= 4.5);
            assert!(ratio("--bad", "--decisive") >= 4.5, "marks, dark {dark}: {:.2}", ratio("--bad", "--decisive"));
            let graphic = |name: &&String| name.starts_with("--run") || name.starts_with("--class");
            for name in theme.keys().filter(graphic) {
                // Letters of runs are text.
                let least = if name.starts_with("--run") { 4.5 } else { 3.0 };
                assert!(ratio(name, "--paper") >= least, "{name}, dark {dark}: {:.2}", ratio(name, "--paper"));
            }
        }
    }
}
