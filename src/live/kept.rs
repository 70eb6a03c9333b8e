//! What is kept of an answered question: on disk without a line of log, in memory with the lines it cites.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::question::Key;
use crate::digest::{Level, Shape};
use crate::ledger::Record;
use crate::stream::Labels;

/// Version of the file's layout.
pub(super) const FORMAT: u32 = 1;

/// Templates of a question that are remembered, to tell those that are new.
const MOST_SEEN: usize = 2000;

/// The last answer of a question that has a verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    pub(super) format: u32,
    /// The question.
    pub key: Key,
    /// What the ledger says of it.
    pub record: Record,
    /// The window that was looked at when the model was asked: first instant, and first instant after it, in
    /// nanoseconds since the Unix epoch.
    pub window: (i64, i64),
    /// When the verdict was last held against the logs: when it was reached, or the logs had that shape again.
    pub confirmed: DateTime<Utc>,
    /// How often the logs had the same shape since, so that nobody was asked.
    pub reused: u32,
    /// Whether all entries of the window were read; if not, the newest were.
    pub complete: bool,
    /// The guard's warning and Loki's remarks. Not on disk: Loki's may quote.
    #[serde(skip)]
    pub notices: Vec<String>,
    /// The entries that the digest shows of the cited templates, without their lines.
    pub evidence: Vec<Cited>,
    pub(super) shape: Shape,
    pub(super) seen: BTreeSet<u32>,
}

/// A cited entry: where it is, and how to recognise it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cited {
    /// The template's id in the digest, such as `T3`.
    pub id: String,
    /// When it was written, nanoseconds since the Unix epoch.
    pub ts: i64,
    /// Labels of its stream.
    pub labels: Labels,
    /// The component that wrote it.
    pub component: String,
    /// The level that it states.
    pub level: Level,
    /// How often its template occurred in the window.
    pub count: usize,
    /// 32 bits of a hash of the redacted line.
    pub(super) line: u32,
}

/// A cited entry with its line, redacted.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Where it is.
    pub cited: Cited,
    /// What it says.
    pub line: String,
}

impl Kept {
    /// How long ago the verdict was held against the logs.
    pub fn age(&self, now: DateTime<Utc>) -> Duration {
        // A clock that was set back must not keep a verdict fresh until it has caught up.
        (now - self.confirmed).abs().to_std().unwrap_or_default()
    }

    /// How long ago the model was asked.
    pub fn asked_ago(&self, now: DateTime<Utc>) -> Duration {
        (now - self.record.at).abs().to_std().unwrap_or_default()
    }
}

/// What was seen before and what is now, bounded.
pub(super) fn seen_with(before: Option<&Kept>, shape: &Shape) -> BTreeSet<u32> {
    let mut seen = before.map(|kept| kept.seen.clone()).unwrap_or_default();
    if seen.len() > MOST_SEEN {
        // Which ones go does not matter: those that still occur come back with the next digest.
        seen.clear();
    }
    seen.extend(shape.templates());
    seen
}
