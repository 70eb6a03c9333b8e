//! How far a question is, for those who watch. No log and no prompt text; the verdict only at the end.

use std::sync::Arc;
use std::time::Duration;

use super::failure::Failed;
use super::kept::Kept;
use super::question::Key;

/// How far a question is.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Which one.
    pub key: Key,
    /// What happens.
    pub stage: Stage,
    /// Time since it was asked for.
    pub elapsed: Duration,
}

/// What happens with a question.
#[derive(Debug, Clone)]
pub enum Stage {
    /// It waits for its turn, at Loki or at the model.
    Queued {
        /// How many have their turn before it.
        ahead: usize,
    },
    /// Loki is read.
    Reading,
    /// The digest is made.
    Digested {
        /// Entries that were read.
        lines: usize,
        /// Templates in the digest.
        templates: usize,
    },
    /// The model is asked.
    Asking {
        /// Its name.
        model: String,
        /// Tokens of the prompt that it has read.
        prompt_done: u32,
        /// Tokens of the prompt; 0 until it is known.
        prompt_total: u32,
        /// Tokens of the answer so far.
        tokens: u32,
    },
    /// There is a verdict.
    Done(Arc<Kept>),
    /// There is none.
    Failed(Arc<Failed>),
}

impl Stage {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::Reading => "loki",
            Self::Digested { .. } => "digest",
            Self::Asking { .. } => "model",
            Self::Done(_) => "done",
            Self::Failed(_) => "failed",
        }
    }

    /// Whether nothing comes after it.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Failed(_))
    }
}
