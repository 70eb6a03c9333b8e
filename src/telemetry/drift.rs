//! What the newest live answers have in common, prompt by prompt: signs that the world has changed, or the model.

use std::collections::{BTreeMap, VecDeque};

use crate::ledger::Record;
use crate::verdict::Class;

/// Answers with a prompt that a share is of.
const WINDOW: usize = 100;
/// Prompts that are watched; of any others there is no share.
const MOST_PROMPTS: usize = 64;

/// The newest answers with each prompt.
#[derive(Debug, Default)]
pub(super) struct Drift(BTreeMap<String, Newest>);

#[derive(Debug, Default)]
struct Newest {
    /// How each ended that somebody was asked for; failures of the surroundings say nothing.
    classes: VecDeque<Class>,
    /// Share of templates in each that were never seen before.
    unseen: VecDeque<f64>,
}

impl Drift {
    /// Takes in an answer; gives the shares that it changed, by the signal's name.
    pub(super) fn take(&mut self, record: &Record) -> Vec<(&'static str, f64)> {
        let prompt = &record.asked.prompt;
        if !self.0.contains_key(prompt) && self.0.len() >= MOST_PROMPTS {
            return Vec::new();
        }
        let newest = self.0.entry(prompt.clone()).or_default();
        let mut shares = Vec::new();
        if !record.reused && record.class != Class::InfraError {
            push(&mut newest.classes, record.class);
            let share = |is: fn(Class) -> bool| {
                newest.classes.iter().filter(|class| is(**class)).count() as f64 / newest.classes.len() as f64
            };
            shares.push(("abstained", share(|class| class == Class::Abstained)));
            shares.push(("ungrounded", share(|class| class == Class::Ungrounded)));
            shares.push(("failed", share(Class::is_model_failure)));
        }
        if let Some(unseen) = record.unseen {
            push(&mut newest.unseen, unseen);
            shares.push(("unseen_templates", newest.unseen.iter().sum::<f64>() / newest.unseen.len() as f64));
        }
        shares
    }
}

fn push<T>(newest: &mut VecDeque<T>, one: T) {
    if newest.len() == WINDOW {
        newest.pop_front();
    }
    newest.push_back(one);
}
