//! What is wrong with a file that a person wrote: where, which field, which value, and the way out.
//!
//! Every loader reports through [`Problem`], so that a bad prompt, case, route or experiment reads the same.

use std::fmt;

use serde::de::DeserializeOwned;

/// Longest excerpt of an offending value in a message, in characters.
const EXCERPT: usize = 120;

/// One defect of one file, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file as the user would name it.
    pub file: String,
    /// 1-based line, where one is known.
    pub line: Option<usize>,
    /// Path of the field, such as `arm[1].prompt`.
    pub field: Option<String>,
    /// What is wrong, with the value.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem of `file` as a whole.
    pub fn new(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, field: None, message: message.into(), hint: None }
    }

    /// Adds the 1-based line.
    #[must_use]
    pub fn at_line(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }

    /// Adds the path of the field.
    #[must_use]
    pub fn in_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Adds the way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(field) = &self.field {
            write!(f, ": field `{field}`")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// Parses TOML into `T`, refusing unknown keys with a suggestion.
///
/// # Errors
/// A [`Problem`] with line and field of the first defect.
pub fn parse_toml<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, Problem> {
    let deserializer = toml::Deserializer::parse(text).map_err(|error| toml_problem(file, text, &error, None))?;
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let path = error.path().to_string();
        toml_problem(file, text, error.inner(), Some(path))
    })
}

fn toml_problem(file: &str, text: &str, error: &toml::de::Error, path: Option<String>) -> Problem {
    let value = error.span().and_then(|span| text.get(span));
    let mut problem = Problem::new(file, with_value(without_list(error.message()), value));
    problem.line = error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
    problem.field = path.filter(|path| path != ".");
    problem.hint = suggestion(error.message());
    problem
}

/// Parses one JSON document (line `line` of `file`) into `T`, refusing unknown keys with a suggestion.
///
/// # Errors
/// A [`Problem`] with line and field of the first defect.
pub fn parse_json<T: DeserializeOwned>(file: &str, line: usize, text: &str) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let message = error.inner().to_string();
        let mut problem = Problem::new(file, without_list(&message)).at_line(line);
        problem.field = Some(error.path().to_string()).filter(|path| path != ".");
        problem.hint = suggestion(&message);
        problem
    })?;
    deserializer.end().map_err(|error| Problem::new(file, error.to_string()).at_line(line))?;
    Ok(value)
}

fn with_value(message: &str, value: Option<&str>) -> String {
    let first_line = value.unwrap_or_default().lines().next().unwrap_or_default().trim();
    if first_line.is_empty() || message.contains(first_line.trim_matches('"')) {
        return message.to_owned();
    }
    format!("{message}, at `{}`", excerpt(first_line))
}

/// The beginning of a value, short enough for a message.
pub fn excerpt(value: &str) -> String {
    if value.chars().count() <= EXCERPT {
        return value.to_owned();
    }
    value.chars().take(EXCERPT).chain(std::iter::once('…')).collect()
}

/// Serde's message without the words that it would have known: [`suggestion`] names them.
fn without_list(message: &str) -> &str {
    if suggestion(message).is_none() {
        return message;
    }
    message.split_once(", expected").map_or(message, |(said, _)| said)
}

/// Turns serde's "unknown field `x`, expected one of `a`, `b`" into "did you mean `a`?".
fn suggestion(message: &str) -> Option<String> {
    let is_unknown = message.starts_with("unknown field") || message.starts_with("unknown variant");
    let mut quoted = message.split('`').skip(1).step_by(2);
    let (true, Some(given)) = (is_unknown, quoted.next()) else { return None };
    let known: Vec<&str> = quoted.collect();
    Some(did_you_mean(given, known.iter().copied()).unwrap_or_else(|| format!("expected one of {}", known.join(", "))))
}

/// The known word closest to `given`, as a question, if one is close.
pub fn did_you_mean<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .map(|word| (strsim::jaro_winkler(given, word), word))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| format!("did you mean `{word}`?"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[serde(rename = "budget")]
        _budget: u32,
    }

    #[test]
    fn a_misspelt_key_names_line_and_suggestion() {
        let problem = parse_toml::<Sample>("x.toml", "# a\nbugdet = 3\n").unwrap_err();
        assert_eq!(problem.line, Some(2));
        assert_eq!(problem.hint.as_deref(), Some("did you mean `budget`?"));
        assert_eq!(problem.message, "unknown field `bugdet`");
        assert!(problem.to_string().starts_with("x.toml:2"), "{problem}");
    }

    #[test]
    fn a_wrong_type_names_field_and_value() {
        let problem = parse_toml::<Sample>("x.toml", "budget = \"many\"\n").unwrap_err().to_string();
        assert!(problem.contains("x.toml:1") && problem.contains("`budget`") && problem.contains("many"), "{problem}");
        let problem = parse_json::<Sample>("c.jsonl", 7, r#"{"budget": -1}"#).unwrap_err().to_string();
        assert!(problem.contains("c.jsonl:7") && problem.contains("-1"), "{problem}");
    }
}
