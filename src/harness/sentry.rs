//! Watches that a model's server stays the one that the run was planned with.
//!
//! Between questions, every few answers, after each failure and at the end the server is asked who it is. Answers that
//! came since it was last recognised are in doubt until then.

use std::collections::BTreeMap;

use crate::run::Answer;

/// Answers of one model after which its server is asked who it is.
const EVERY: usize = 16;

/// An answer with the index of its arm and the number of its question.
pub(super) type Doubtful = (usize, usize, Answer);

/// Answers in doubt, by model.
#[derive(Debug, Default)]
pub(super) struct Sentry(BTreeMap<String, Vec<Doubtful>>);

impl Sentry {
    /// Puts an answer in doubt.
    pub(super) fn note(&mut self, model: &str, arm: usize, number: usize, answer: &Answer) {
        self.0.entry(model.to_owned()).or_default().push((arm, number, answer.clone()));
    }

    /// Models whose server should be asked now; with `all`, every model with an answer in doubt.
    pub(super) fn due(&self, all: bool) -> Vec<String> {
        let least = if all { 1 } else { EVERY };
        self.0.iter().filter(|(_, doubtful)| doubtful.len() >= least).map(|(model, _)| model.clone()).collect()
    }

    /// Ends the doubt about a model's answers, and returns them.
    pub(super) fn settle(&mut self, model: &str) -> Vec<Doubtful> {
        self.0.remove(model).unwrap_or_default()
    }
}
