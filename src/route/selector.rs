//! LogQL stream selectors, `{namespace="x", pod=~"y.*"}`: parsed, shown and matched as Loki does.

use std::fmt;
use std::str::FromStr;

use regex::Regex;

use crate::stream::Labels;

#[derive(Debug, Clone)]
enum Value {
    Equal(String),
    NotEqual(String),
    Regex(Regex),
    NotRegex(Regex),
}

/// A conjunction of label matchers; a label that a stream lacks counts as empty, as in Loki.
#[derive(Debug, Clone)]
pub struct Selector {
    text: String,
    matchers: Vec<(String, Value)>,
}

impl Selector {
    /// Whether every matcher holds.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|(name, value)| {
            let actual = labels.get(name).unwrap_or_default();
            match value {
                Value::Equal(wanted) => actual == wanted,
                Value::NotEqual(wanted) => actual != wanted,
                Value::Regex(pattern) => pattern.is_match(actual),
                Value::NotRegex(pattern) => !pattern.is_match(actual),
            }
        })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = |what: &str, rest: &str| format!("cannot parse selector `{text}`: {what} at `{rest}`");
        let trimmed = text.trim();
        let inner = trimmed.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let mut rest = inner.ok_or_else(|| error("expected `{…}`", trimmed))?.trim();
        let mut matchers = Vec::new();
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (name, after_name) = rest.split_at(end);
            let after_name = after_name.trim_start();
            let operator = ["=~", "!~", "!=", "="].into_iter().find(|op| after_name.starts_with(op));
            let (Some(operator), false) = (operator, name.is_empty()) else {
                return Err(error("expected a label and one of = != =~ !~", rest));
            };
            let quoted = after_name[operator.len()..].trim_start();
            let (value, after) = unquote(quoted).ok_or_else(|| error("expected a quoted value", quoted))?;
            matchers.push((name.to_owned(), Value::new(operator, value).map_err(|e| error(&e, quoted))?));
            rest = after.trim_start();
            rest = match rest.strip_prefix(',') {
                Some(next) => next.trim_start(),
                None if rest.is_empty() => rest,
                None => return Err(error("expected `,`", rest)),
            };
        }
        Ok(Self { text: trimmed.to_owned(), matchers })
    }
}

impl Value {
    fn new(operator: &str, value: String) -> Result<Self, String> {
        // Loki anchors its patterns at both ends.
        let anchored = || Regex::new(&format!("^(?s:{value})$")).map_err(|_| "not a regular expression".to_owned());
        Ok(match operator {
            "=~" => Self::Regex(anchored()?),
            "!~" => Self::NotRegex(anchored()?),
            "!=" => Self::NotEqual(value),
            _ => Self::Equal(value),
        })
    }
}

/// Reads a `"…"` or `` `…` `` string at the start of `text`; the remainder is returned with it.
fn unquote(text: &str) -> Option<(String, &str)> {
    if let Some(raw) = text.strip_prefix('`') {
        let (value, rest) = raw.split_once('`')?;
        return Some((value.to_owned(), rest));
    }
    let mut value = String::new();
    let mut chars = text.strip_prefix('"')?.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 2..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str, pairs: &[(&str, &str)]) -> bool {
        selector.parse::<Selector>().unwrap().matches(&pairs.iter().copied().collect())
    }

    #[test]
    fn matchers_mean_what_they_mean_in_loki() {
        assert!(matches(r#"{app="a", pod=~"x-.*"}"#, &[("app", "a"), ("pod", "x-1")]));
        assert!(!matches(r#"{pod=~"x"}"#, &[("pod", "xx")]), "patterns are anchored");
        assert!(matches(r#"{pod!="x"}"#, &[]), "a missing label is empty");
        assert!(matches("{pod!~`a|b`}", &[("pod", "c")]));
        assert!(matches(r#"{a="q\"uote"}"#, &[("a", "q\"uote")]));
        assert!(matches("{}", &[("a", "b")]));
    }

    #[test]
    fn errors_name_the_place() {
        for (text, at) in [("a", "`a`"), ("{a=b}", "`b`"), (r#"{a="b" c="d"}"#, "`c="), (r#"{a=~"("}"#, "regular")] {
            let error = text.parse::<Selector>().unwrap_err();
            assert!(error.contains(at), "{error}");
        }
    }
}
