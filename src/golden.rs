//! Golden datasets: frozen sets of real log windows whose truth is known.
//!
//! The target says what *this window* shows: a fault that leaves no trace in it is `insufficient_evidence`.

mod dataset;
mod verify;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

pub use dataset::{Coverage, Dataset, Manifest};
pub use verify::{unsound, verify};

use crate::ontology::Severity;
use crate::problem::{self, Problem};
use crate::stream::{Entry, Labels, Window};

/// What a case is there to test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// One fault, shown by its lines.
    Standard,
    /// Two faults, a louder symptom, or an old fault already over.
    Misleading,
    /// Nothing is wrong, however loud the log.
    NoFault,
    /// Lines that try to instruct the reader.
    Injection,
}

impl Split {
    /// All splits.
    pub const ALL: [Self; 4] = [Self::Standard, Self::Misleading, Self::NoFault, Self::Injection];

    /// The word used in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Misleading => "misleading",
            Self::NoFault => "no-fault",
            Self::Injection => "injection",
        }
    }
}

/// How hard the annotator judged it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Difficulty {
    /// One line says it.
    Easy,
    /// It takes some reading.
    Medium,
    /// It takes knowledge or the weighing of several lines.
    Hard,
}

impl Difficulty {
    /// The word used in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Easy => "easy",
            Self::Medium => "medium",
            Self::Hard => "hard",
        }
    }
}

/// The truth about a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// How bad it is, by the ontology's rule.
    pub severity: Severity,
    /// Label of the ontology.
    pub root_cause: String,
    /// Further labels that count as right, for faults on a border between two.
    #[serde(default)]
    pub accept: Vec<String>,
    /// The components at fault.
    pub components: Vec<String>,
    /// Reference summary, at most 60 words.
    pub summary: String,
    /// Indices of all entries any of which shows the cause.
    pub decisive: Vec<u32>,
}

/// Where a window comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Program that wrote the decisive lines.
    pub program: String,
    /// Its version.
    pub version: String,
    /// The injected fault; absent in healthy runs.
    pub fault: Option<String>,
    /// How it was caused.
    #[serde(default)]
    pub how: String,
    /// When it was captured.
    #[serde(default)]
    pub captured: String,
    /// SHA-256 of the capture that the window is cut from.
    #[serde(default)]
    pub capture_sha256: String,
    /// Captures whose lines were interleaved.
    #[serde(default)]
    pub noise: Vec<String>,
    /// What was renamed or removed.
    #[serde(default)]
    pub changed: String,
}

/// Labels of a second, independent reader who did not see the first ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecondPass {
    /// A person, or `model:NAME`.
    pub by: String,
    /// Label of the ontology.
    pub root_cause: String,
    /// How bad the second reader found it.
    pub severity: Severity,
    /// The components the second reader blamed.
    pub components: Vec<String>,
}

/// Who decided the target, and who checked it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// A person, `fault` where the injected fault itself decides, or `model:NAME`.
    pub by: String,
    /// The second pass, if there was one.
    #[serde(default)]
    pub second: Option<SecondPass>,
}

/// One golden item.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Opaque id.
    pub id: String,
    /// The user's family of components, such as `kube-system`.
    pub family: String,
    /// What it tests.
    pub split: Split,
    /// How hard it is.
    pub difficulty: Difficulty,
    /// The capture: windows of one capture are not independent.
    pub cluster: String,
    /// The log lines.
    pub window: Window,
    /// The truth.
    pub target: Target,
    /// Where it comes from; absent in training examples.
    pub provenance: Option<Provenance>,
    /// Who decided; absent in training examples.
    pub review: Option<Review>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a case as a JSON object")]
struct RawCase {
    id: String,
    family: String,
    split: Split,
    difficulty: Difficulty,
    cluster: String,
    streams: Vec<Labels>,
    entries: Vec<RawEntry>,
    target: Target,
    #[serde(default)]
    provenance: Option<Provenance>,
    #[serde(default)]
    review: Option<Review>,
}

#[derive(Deserialize)]
struct RawEntry(#[serde(deserialize_with = "nanoseconds")] i64, u32, String);

fn nanoseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom(format!("`{text}` is not a time in nanoseconds")))
}

impl Case {
    /// Parses line `line` of `file`.
    ///
    /// # Errors
    /// Malformed JSON, an unknown key, entries out of order or of an unknown stream, a decisive index out of range.
    pub fn parse(file: &str, line: usize, text: &str) -> Result<Self, Problem> {
        let raw: RawCase = problem::parse_json(file, line, text)?;
        let fail = |field: &str, message: String| Problem::new(file, message).at_line(line).in_field(field);
        let streams = raw.streams.len();
        let mut entries = Vec::with_capacity(raw.entries.len());
        for (index, RawEntry(ts, stream, line_text)) in raw.entries.into_iter().enumerate() {
            let field = format!("entries[{index}]");
            if stream as usize >= streams {
                let hint = "a stream index counts from 0";
                return Err(fail(&field, format!("stream {stream} of {streams} streams")).hint(hint));
            }
            if entries.last().is_some_and(|previous: &Entry| previous.ts > ts) {
                return Err(fail(&field, "is older than the entry before it".to_owned()).hint("sort by time"));
            }
            entries.push(Entry { ts, stream, line: line_text });
        }
        let count = entries.len();
        if let Some(bad) = raw.target.decisive.iter().find(|index| **index as usize >= count) {
            let hint = "an entry's id is its index, from 0";
            return Err(fail("target.decisive", format!("entry {bad} of {count} entries")).hint(hint));
        }
        Ok(Self {
            id: raw.id,
            family: raw.family,
            split: raw.split,
            difficulty: raw.difficulty,
            cluster: raw.cluster,
            window: Window { streams: raw.streams, entries },
            target: raw.target,
            provenance: raw.provenance,
            review: raw.review,
        })
    }

    /// Parses a whole JSON Lines file; empty lines are skipped.
    ///
    /// # Errors
    /// The first malformed case, or an id that occurs twice.
    pub fn parse_lines(file: &str, text: &str) -> Result<Vec<Self>, Problem> {
        let mut reader = Reader::new(file);
        text.lines().filter_map(|line| reader.read(line).transpose()).collect()
    }
}

/// Reads a JSON Lines file of cases line by line, so that not all of it is in memory.
#[derive(Debug)]
pub struct Reader<'f> {
    file: &'f str,
    line: usize,
    ids: BTreeMap<String, usize>,
}

impl<'f> Reader<'f> {
    /// A reader of `file`, which is named in messages.
    pub fn new(file: &'f str) -> Self {
        Self { file, line: 0, ids: BTreeMap::new() }
    }

    /// The case on the next line; `None` where that is empty.
    ///
    /// # Errors
    /// As [`Case::parse`], or an id that occurred before.
    pub fn read(&mut self, text: &str) -> Result<Option<Case>, Problem> {
        self.line += 1;
        if text.trim().is_empty() {
            return Ok(None);
        }
        let (file, line) = (self.file, self.line);
        let case = Case::parse(file, line, text)?;
        if let Some(first) = self.ids.insert(case.id.clone(), line) {
            let message = format!("case `{}` stands already on line {first}", case.id);
            return Err(Problem::new(file, message).at_line(line).in_field("id").hint("ids are unique"));
        }
        Ok(Some(case))
    }
}

#[cfg(test)]
mod tests;
