//! The closed list of root causes and the severity rule: the vocabulary that prompts, models and golden cases share.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hash;
use crate::problem::{self, Problem};

/// The label of a window without a fault.
pub const NONE: &str = "none";
/// The label of a window that does not show the cause.
pub const INSUFFICIENT_EVIDENCE: &str = "insufficient_evidence";

/// How bad it is, by what still works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// No fault.
    Info,
    /// Degraded, heals by itself.
    Warning,
    /// An operation keeps failing until someone acts.
    Error,
    /// A component serves nothing.
    Critical,
}

impl Severity {
    /// All severities, mildest first.
    pub const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One root cause.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Canonical name, `snake_case`.
    pub name: String,
    /// What it means, in one clause.
    pub definition: String,
    /// Other names that count as this one.
    #[serde(default)]
    pub aliases: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    severity: SeverityRule,
    label: Vec<Label>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeverityRule {
    critical: String,
    error: String,
    warning: String,
    info: String,
}

/// One version of the list.
#[derive(Debug, Clone)]
pub struct Ontology {
    /// Version number, as in the file.
    pub version: u32,
    /// SHA-256 of the file.
    pub sha256: String,
    labels: Vec<Label>,
    severity: SeverityRule,
}

impl Ontology {
    /// Parses `prompts/ontology/<version>.toml`.
    ///
    /// # Errors
    /// Malformed TOML, a duplicate or ill-formed name, or a list without `none` or `insufficient_evidence`.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problem> {
        let raw: File = problem::parse_toml(file, text)?;
        let ontology =
            Self { version: raw.version, sha256: hash::sha256(text), labels: raw.label, severity: raw.severity };
        ontology.check(file)?;
        Ok(ontology)
    }

    fn check(&self, file: &str) -> Result<(), Problem> {
        let mut seen = std::collections::BTreeSet::new();
        for label in &self.labels {
            if normalise(&label.name) != label.name {
                let message = format!("label `{}` is not snake_case", label.name);
                return Err(Problem::new(file, message).hint(format!("write `{}`", normalise(&label.name))));
            }
            for name in std::iter::once(&label.name).chain(&label.aliases) {
                if !seen.insert(normalise(name)) {
                    let message = format!("`{name}` names two labels");
                    return Err(Problem::new(file, message).in_field("label").hint("keep it on one of them"));
                }
            }
        }
        for required in [NONE, INSUFFICIENT_EVIDENCE] {
            if self.resolve(required).is_none() {
                return Err(Problem::new(file, format!("the label `{required}` is missing")).hint("every list has it"));
            }
        }
        Ok(())
    }

    /// Its name in the lock, such as `ontology@1`.
    pub fn lock_name(&self) -> String {
        format!("ontology@{}", self.version)
    }

    /// The labels in file order.
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// The canonical name for a label or one of its aliases, in any case, with `-` or spaces for `_`.
    pub fn resolve(&self, name: &str) -> Option<&str> {
        let wanted = normalise(name);
        let is_named = |label: &&Label| label.name == wanted || label.aliases.iter().any(|a| normalise(a) == wanted);
        self.labels.iter().find(is_named).map(|label| label.name.as_str())
    }

    /// The names, comma-separated, for a compact prompt.
    pub fn render_names(&self) -> String {
        let names: Vec<_> = self.labels.iter().map(|label| label.name.as_str()).collect();
        names.join(", ")
    }

    /// One line `name: definition` per label.
    pub fn render_definitions(&self) -> String {
        let lines: Vec<_> = self.labels.iter().map(|label| format!("{}: {}", label.name, label.definition)).collect();
        lines.join("\n")
    }

    /// One line `severity: rule` per severity, worst first.
    pub fn render_severity_rule(&self) -> String {
        let rule = &self.severity;
        format!("critical: {}\nerror: {}\nwarning: {}\ninfo: {}", rule.critical, rule.error, rule.warning, rule.info)
    }
}

fn normalise(name: &str) -> String {
    name.trim().to_lowercase().replace(['-', ' '], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "version = 1\n[severity]\ncritical = 'c'\nerror = 'e'\nwarning = 'w'\ninfo = 'i'\n";

    fn with(labels: &str) -> Result<Ontology, Problem> {
        Ontology::parse("o.toml", &format!("{HEAD}{labels}"))
    }

    #[test]
    fn the_shipped_list_resolves_aliases() {
        let ontology = Ontology::parse("1.toml", include_str!("../prompts/ontology/1.toml")).unwrap();
        assert!((30..=45).contains(&ontology.labels().len()));
        assert_eq!(ontology.resolve("OOM-killed"), Some("memory_exhausted"));
        assert_eq!(ontology.resolve("bad luck"), None);
    }

    #[test]
    fn clashes_and_gaps_are_refused() {
        let clash =
            "[[label]]\nname='none'\ndefinition='d'\n[[label]]\nname='other'\ndefinition='d'\naliases=['None']\n";
        assert!(with(clash).unwrap_err().message.contains("names two labels"));
        assert!(
            with("[[label]]\nname='none'\ndefinition='d'\n").unwrap_err().message.contains("insufficient_evidence")
        );
        assert!(with("[[label]]\nname='No-Ne'\ndefinition='d'\n").unwrap_err().message.contains("snake_case"));
    }
}
