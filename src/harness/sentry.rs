//! Watches that a model's server stays the one that the run was planned with.
//!
//! Between questions, every few answers, after each failure and at the end the server is asked who it is. Answers that
//! came since it was last recognised are in doubt until then.

use std::collections::BTreeMap;

use crate::run::Answer;

/// Answers of one model after which its server is asked who it is.
const EVERY: usize = 16;

/// An answer by the index of its arm, its case and its repeat.
pub(super) type Doubtful = (usize, (String, u32));

/// Answers in doubt, by model.
#[derive(Debug, Default)]
pub(super) struct Sentry(BTreeMap<String, Vec<Doubtful>>);

impl Sentry {
    /// Puts an answer in doubt.
    pub(super) fn note(&mut self, model: &str, arm: usize, answer: &Answer) {
        self.0.entry(model.to_owned()).or_default().push((arm, (answer.case.clone(), answer.repeat)));
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
