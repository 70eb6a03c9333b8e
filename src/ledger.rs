//! The ledger: what every question asked online came to, a record each, and what is read out of many.
//!
//! A record names everything that made a verdict by version and hash; it holds neither log nor prompt text. (A summary
//! is the model's own words over redacted lines.) Records are only ever appended. Where they are kept is the store's
//! business.

mod signals;

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use signals::{By, Point, Series, signals};

use crate::model::{Timings, Usage};
use crate::run::Asked;
use crate::verdict::{Class, Verdict};

/// Version of the record's layout; a reader leaves out what it does not know.
pub const FORMAT: u32 = 1;

/// The fewest digits of a hash by which a record is found.
pub const FEWEST_DIGITS: usize = 8;
/// The fewest digits of a trace id that are not zeros at its beginning; fewer occur once in four billion ids.
const FEWEST_TRACE_DIGITS: usize = 24;

/// Who wanted to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A panel, or a person in Explore.
    Panel,
    /// An alert rule.
    Alert,
    /// A standing question, on its own schedule.
    Standing,
    /// A user under whose own identity Loki is read. Such a record says how it went and not what was found.
    Direct,
}

impl Purpose {
    /// The word used in records and telemetry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Panel => "panel",
            Self::Alert => "alert",
            Self::Standing => "standing",
            Self::Direct => "direct",
        }
    }
}

/// One question that was asked online, and how it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Version of this layout.
    pub format: u32,
    /// When the verdict was reached.
    pub at: DateTime<Utc>,
    /// Grafana's organisation.
    pub org: i64,
    /// Uid of the data source.
    pub datasource: String,
    /// Key of the question: the same question has the same key.
    pub question: String,
    /// Name of the standing question, if it is one.
    pub name: Option<String>,
    /// Who wanted to know.
    pub purpose: Purpose,
    /// Whether its window followed the clock, instead of being one of the past. Older lines do not say so.
    #[serde(default)]
    pub latest: bool,
    /// Values of the label `namespace` among the streams that were read.
    pub namespaces: Vec<String>,
    /// The components that wrote those streams, as their labels have it.
    pub components: Vec<String>,
    /// What was asked; of a reused verdict, when it was made.
    pub asked: Asked,
    /// SHA-256 of the prompt's file.
    pub prompt_sha256: String,
    /// Version of the redaction.
    pub redaction: String,
    /// Version of the digest.
    pub digest: String,
    /// The model's name.
    pub model: String,
    /// Its quantization, `-` for rules.
    pub quantization: String,
    /// Whether it was made for demonstrations.
    pub demo: bool,
    /// What its server showed as its identity.
    pub fingerprint: Option<String>,
    /// Build of its server.
    pub build_info: Option<String>,
    /// How it ended.
    pub class: Class,
    /// Why it is not `ok`, without log text.
    pub reason: Option<String>,
    /// The verdict, where there is one.
    pub verdict: Option<Verdict>,
    /// Hash of the answer's text; `None` where no model answered.
    pub output_hash: Option<String>,
    /// Tokens; none of a reused verdict.
    pub usage: Usage,
    /// Durations of the model's answer.
    pub timings: Timings,
    /// How often the model was asked, retries included; 0 for rules and for a reused verdict.
    pub attempts: u32,
    /// Time spent waiting for a turn, in milliseconds.
    pub queued_ms: f64,
    /// Time that Loki took, in milliseconds.
    pub loki_ms: f64,
    /// From the window to the classified verdict, waiting left out, in milliseconds.
    pub latency_ms: f64,
    /// Share of the digest's templates that this question had not seen before; `None` the first time.
    pub unseen: Option<f64>,
    /// Whether nothing was asked because the logs had the shape of last time.
    pub reused: bool,
    /// The trace in which it was recorded, 32 hexadecimal digits.
    pub trace_id: Option<String>,
}

impl Record {
    /// What the question goes by: its name as a standing question, else its key.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.question)
    }

    /// Whether somebody is on watch for what it says: it is a standing question's, or an alert rule asked about the logs
    /// as they are. What a person looks into, now or in the past, wakes nobody.
    fn is_watched(&self) -> bool {
        self.name.is_some() || (self.latest && self.purpose == Purpose::Alert)
    }

    /// Whether it goes by this name: its trace, its question, or the hash of its prompt or answer, whole or by at least
    /// [`FEWEST_DIGITS`] first digits.
    pub fn is_named(&self, needle: &str) -> bool {
        let needle = digits(needle);
        let names = [
            self.trace_id.as_deref(),
            Some(&*self.asked.rendered_hash),
            self.output_hash.as_deref(),
            Some(&*self.question),
        ];
        let begins = |name: &str| digits(name).starts_with(&needle);
        let of_trace = self.trace_id.as_ref().is_some_and(|id| is_trace(id, &needle));
        needle.len() >= FEWEST_DIGITS && (of_trace || names.into_iter().flatten().any(begins))
    }
}

/// Whether these digits are all of a trace id, but for zeros at its beginning: Tempo's search leaves them out.
pub fn is_trace(id: &str, digits: &str) -> bool {
    digits.len() >= FEWEST_TRACE_DIGITS && id.trim_start_matches('0') == digits.trim_start_matches('0')
}

/// The digits of a hash, without what says how it was made.
fn digits(hash: &str) -> String {
    hash.rsplit(':').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The newest record with a verdict of each question, newest first.
pub fn newest<'r>(records: impl IntoIterator<Item = &'r Record>) -> Vec<&'r Record> {
    let mut by_question: HashMap<&str, &Record> = HashMap::new();
    for record in records.into_iter().filter(|record| record.verdict.is_some()) {
        let held = by_question.entry(&record.question).or_insert(record);
        if record.at > held.at {
            *held = record;
        }
    }
    let mut newest: Vec<&Record> = by_question.into_values().collect();
    newest.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.question.cmp(&b.question)));
    newest
}

/// Of [`newest`], those that alerts rest on: one for each standing question, also where its settings have changed, and one
/// for each that an alert rule has asked among `records`.
pub fn watched<'r>(records: impl Iterator<Item = &'r Record> + Clone) -> Vec<&'r Record> {
    let questions: HashSet<&str> =
        records.clone().filter(|record| record.is_watched()).map(|record| &*record.question).collect();
    let mut titles = HashSet::new();
    let newest = newest(records).into_iter();
    newest.filter(|record| questions.contains(&*record.question) && titles.insert(record.title())).collect()
}

#[cfg(test)]
pub(crate) mod tests;
