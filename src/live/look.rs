//! What a desk says of a question: its last verdict, how old that is, and what is done for a newer one.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::failure::{Failed, Failure};
use super::kept::{Kept, Line};
use super::progress::Progress;
use super::question::Key;
use crate::loki;

/// What can be said about a question now.
#[derive(Debug, Clone)]
pub struct Look {
    /// The question's key.
    pub key: Key,
    /// Its last answer that has a verdict.
    pub last: Option<Arc<Kept>>,
    /// How old that is; `None` without it.
    pub freshness: Option<Freshness>,
    /// Time since that verdict was held against the logs.
    pub age: Option<Duration>,
    /// What is done about it.
    pub refresh: Refresh,
    /// The newest attempt, if it failed after `last` was found.
    pub failure: Option<Arc<Failed>>,
}

/// How old a verdict is, by the limits of its data source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// It is not asked again.
    Fresh,
    /// It may be shown, and is asked again.
    Stale,
    /// No alert may rely on it.
    TooOld,
}

/// What is done for a newer verdict.
#[derive(Debug, Clone)]
pub enum Refresh {
    /// Nothing: the last one is fresh.
    NotNeeded,
    /// The question is on its way.
    UnderWay(Progress),
    /// Nothing yet: it failed a moment ago.
    HeldOff {
        /// From when on it is asked again.
        until: DateTime<Utc>,
    },
    /// Nothing: too many questions wait.
    Refused(Failure),
}

/// Whose question is asked under their own identity, and how long they wait.
#[derive(Debug)]
pub struct OnBehalf<'a> {
    /// Loki, asked in their name.
    pub loki: loki::Client,
    /// Who it is; only a hash of it is kept.
    pub identity: &'a str,
    /// How long they wait.
    pub deadline: Duration,
}

/// The answer to a question that was asked directly.
#[derive(Debug, Clone)]
pub struct Direct {
    /// The answer. Nothing of it is kept.
    pub kept: Kept,
    /// The lines that it cites.
    pub lines: Vec<Line>,
}

/// What a desk did since it was opened, and does now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Verdicts of a model or of the rules.
    pub answered: u64,
    /// Verdicts that stood because the logs had kept their shape.
    pub reused: u64,
    /// Questions that came to no verdict.
    pub failed: u64,
    /// Questions that nobody waited for any more.
    pub cancelled: u64,
    /// Questions that found the queue full.
    pub refused: u64,
    /// Questions on their way now, waiting ones included.
    pub flying: usize,
    /// Questions that wait for their turn now.
    pub waiting: usize,
}
