//! Why a question has no verdict, in words with the way out.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::loki::LokiError;
use crate::verdict::Class;

/// How long a question rests after a failure that may pass by itself.
pub(super) const REST: Duration = Duration::from_secs(15);
/// The longest rest that a busy Loki is granted.
const LONGEST_REST: Duration = Duration::from_secs(300);

/// Why a question has no verdict.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Failure {
    /// The question or the settings cannot be used as they are.
    #[error("{0}")]
    Setup(String),
    /// Too many questions wait.
    #[error(
        "{waiting} questions wait for their turn already, the limit is {limit}: look again later, or raise `queue`"
    )]
    Full {
        /// Questions that wait.
        waiting: usize,
        /// How many may.
        limit: usize,
    },
    /// The guard refuses the query.
    #[error("{0}")]
    Guard(String),
    /// Loki fails.
    #[error(transparent)]
    Loki(#[from] LokiError),
    /// There is nothing to read.
    #[error("the query `{expr}` gives no log lines in {}: widen the time range, or look whether anything logs", seconds(.length))]
    NoLines {
        /// The query.
        expr: String,
        /// How long the window is.
        length: Duration,
    },
    /// The model, or the way to it, failed.
    #[error("{model} gave no verdict ({class}): {reason}")]
    Model {
        /// The model's name.
        model: String,
        /// The outcome.
        class: Class,
        /// Why, without log text.
        reason: String,
    },
    /// The caller's time is up.
    #[error("no verdict within {}: ask for less, or give it more time", seconds(.0))]
    Late(Duration),
    /// Nobody waits any more.
    #[error("the question was dropped: nobody waited for it any more, or the settings changed")]
    Cancelled,
    /// Ours.
    #[error("a defect of assay ended the question: its log says where")]
    Defect,
}

fn seconds(length: &Duration) -> String {
    format!("{} s", length.as_secs_f64())
}

impl Failure {
    /// The status, as HTTP has it.
    pub fn status(&self) -> i32 {
        match self {
            Self::Setup(_) => 400,
            Self::Loki(error) => error.status(),
            Self::NoLines { .. } => 404,
            Self::Guard(_) => 422,
            Self::Full { .. } => 429,
            Self::Cancelled => 499,
            Self::Defect => 500,
            Self::Model { class: Class::Timeout, .. } | Self::Late(_) => 504,
            Self::Model { .. } => 502,
        }
    }

    /// Whether it may pass without anybody doing anything.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Loki(error) => error.is_temporary(),
            Self::Model { class, .. } => *class == Class::InfraError,
            Self::Full { .. } | Self::NoLines { .. } | Self::Late(_) | Self::Cancelled => true,
            Self::Setup(_) | Self::Guard(_) | Self::Defect => false,
        }
    }

    /// How long the same question is not asked again, so that a panel that refreshes does not hammer on a closed door.
    fn rest(&self, fresh_for: Duration) -> Duration {
        match self {
            Self::Full { .. } | Self::Cancelled => Duration::ZERO,
            Self::NoLines { .. } | Self::Late(_) => REST.min(fresh_for),
            Self::Loki(error) if !error.is_about_the_query() => error.retry_after().unwrap_or(REST).min(LONGEST_REST),
            Self::Model { class: Class::InfraError, .. } => REST,
            Self::Setup(_) | Self::Loki(_) | Self::Guard(_) | Self::Model { .. } | Self::Defect => fresh_for,
        }
    }
}

/// A failure and when it happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Failed {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub failure: Failure,
}

impl Failed {
    /// Until when the question rests, if it does.
    pub(super) fn rests_until(&self, now: DateTime<Utc>, fresh_for: Duration) -> Option<DateTime<Utc>> {
        let rest = self.failure.rest(fresh_for);
        // A clock that was set back must not hold a question off until it has caught up.
        let since = (now - self.at).abs().to_std().unwrap_or_default();
        (since < rest).then(|| self.at + rest)
    }
}
