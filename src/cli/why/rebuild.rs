//! A rendered prompt once more, from the case's entries and the installation as it is now, held to the hash of then.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde_json::{Value, json};

use crate::digest::{self, Budget};
use crate::experiment::Choice;
use crate::golden::Case;
use crate::installation::{HASH_KEY_VARIABLE, Installation};
use crate::redact;
use crate::run::{CaseResult, Plan};

/// What became of the prompt.
#[derive(Debug)]
pub(super) enum Rebuilt {
    /// The same text, to the byte.
    Same,
    /// Another text; what differs from then.
    Another(Vec<String>),
    /// Not built, and why.
    Not(String),
}

impl fmt::Display for Rebuilt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => f.write_str("rebuilt from its entries: the same hash"),
            Self::Another(differences) if differences.is_empty() => {
                f.write_str("rebuilt from its entries: ANOTHER HASH, and nothing that is recorded explains it")
            }
            Self::Another(differences) => {
                write!(f, "rebuilt from its entries: ANOTHER HASH; {}", differences.join("; "))
            }
            // In one line, as all that stands beside it.
            Self::Not(reason) => write!(f, "not rebuilt: {}", reason.replace("\n  hint: ", "; ")),
        }
    }
}

impl Rebuilt {
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Same => json!({"same": true}),
            Self::Another(differences) => json!({"same": false, "differences": differences}),
            Self::Not(reason) => json!({"same": null, "reason": reason}),
        }
    }
}

/// Where prompts are rebuilt: the installation and the cases, read when they are first needed.
pub(super) struct Bench<'a> {
    root: &'a Path,
    /// Cases in place of the datasets'.
    given: Option<Vec<Case>>,
    installation: Option<Result<Installation, String>>,
    /// Cases by the dataset that they are of.
    read: BTreeMap<String, Result<Vec<Case>, String>>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(root: &'a Path, given: Option<Vec<Case>>) -> Self {
        Self { root, given, installation: None, read: BTreeMap::new() }
    }

    /// Builds the prompt of an answer again.
    pub(super) fn rebuild(&mut self, plan: &Plan, row: &CaseResult) -> Rebuilt {
        let root = self.root;
        let loaded =
            self.installation.get_or_insert_with(|| Installation::load(root).map_err(|error| error.to_string()));
        let installation = match loaded {
            Ok(installation) => installation,
            Err(reason) => return Rebuilt::Not(reason.clone()),
        };
        let of = &plan.experiment.dataset;
        let read = || installation.dataset(of).map(|dataset| dataset.cases).map_err(|error| error.to_string());
        let cases = match &self.given {
            Some(cases) => cases,
            None => match self.read.entry(of.clone()).or_insert_with(read) {
                Ok(cases) => &*cases,
                Err(reason) => return Rebuilt::Not(reason.clone()),
            },
        };
        match cases.iter().find(|case| case.id == row.answer.case) {
            Some(case) => rebuilt(installation, plan, row, case),
            None => Rebuilt::Not(format!("there is no case `{}`", row.answer.case)),
        }
    }
}

fn rebuilt(installation: &Installation, plan: &Plan, row: &CaseResult, case: &Case) -> Rebuilt {
    let asked = &row.answer.asked;
    let is_keyed = asked.rendered_hash.starts_with("hmac-");
    if is_keyed != installation.pipeline.hash_key.is_some() {
        let hint = if is_keyed { "set" } else { "unset" };
        return Rebuilt::Not(format!(
            "its hash was made {} a key: {hint} {HASH_KEY_VARIABLE}",
            if is_keyed { "with" } else { "without" }
        ));
    }
    let id = match asked.prompt.parse() {
        Ok(id) => id,
        Err(reason) => return Rebuilt::Not(reason),
    };
    let choice = Choice::Prompt(id);
    // A digest that did not fit the context was made again with a smaller budget, of which its size remains.
    for tokens in [plan.arm.digest_tokens, asked.digest_tokens as usize] {
        let budget = Budget { tokens, bytes_per_token: plan.model.spec.bytes_per_token };
        match installation.pipeline.prepare(case.window.clone(), &choice, budget) {
            Ok(prepared) if prepared.rendered.hash == asked.rendered_hash => return Rebuilt::Same,
            Ok(_) => {}
            Err(reason) => return Rebuilt::Not(reason),
        }
    }
    Rebuilt::Another(differences(installation, plan, row))
}

/// What is recorded of then and is not the same now.
fn differences(installation: &Installation, plan: &Plan, row: &CaseResult) -> Vec<String> {
    let prompt = &row.answer.asked.prompt;
    let now = prompt.parse().ok().and_then(|id| installation.pipeline.prompts.get(&id).ok());
    let ontology = now.map(|prompt| installation.pipeline.prompts.ontology(prompt).sha256.clone());
    let compared = [
        ("the prompt's file", plan.pipeline.prompts.get(prompt).cloned(), now.map(|prompt| prompt.sha256.clone())),
        ("the ontology", Some(plan.pipeline.ontology_sha256.clone()), ontology),
        ("the digest", Some(plan.pipeline.digest.clone()), Some(digest::VERSION.to_owned())),
        ("the redaction", Some(plan.pipeline.redaction.clone()), Some(redact::VERSION.to_owned())),
    ];
    let differ = compared.into_iter().filter(|(_, then, now)| then.is_some() && then != now);
    differ
        .map(|(what, then, now)| {
            let short =
                |text: Option<String>| text.map_or_else(|| "-".to_owned(), |text| text.chars().take(12).collect());
            format!("{what} was {}, is {}", short(then), short(now))
        })
        .collect()
}
