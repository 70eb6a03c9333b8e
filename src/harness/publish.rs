//! From answers to a published run: joined with the truth, scored, summarised, committed.
//!
//! Answers are read from the journal and cases from the dataset one by one, in the order of the dataset: of a run of any
//! size only its figures are in memory.

use chrono::Utc;

use super::error::HarnessError;
use super::journal::Journal;
use super::meter::Cost;
use super::questions::Question;
use crate::golden::Case;
use crate::installation::Shelf;
use crate::ontology::Ontology;
use crate::run::{Answer, CaseResult, Plan, RunRecord};
use crate::score::{Graded, Scores, score};
use crate::store::{Store, Table};
use crate::summary::Summary;
use crate::telemetry::meters;

/// What became of a run.
#[derive(Debug)]
pub enum Outcome {
    /// Complete and published.
    Published(Box<RunRecord>),
    /// Some cases have no score: never published, and resumed later.
    Partial {
        /// What was planned.
        plan: Box<Plan>,
        /// Cases whose infrastructure failed.
        missing: usize,
    },
}

/// Scores a run's answers and publishes it, unless a case is left without a score.
pub(super) async fn publish(
    store: &Store,
    ontology: &Ontology,
    shelf: &Shelf,
    plan: Plan,
    mut journal: Journal,
    (resumed, cost): (u32, Cost),
) -> Result<Outcome, HarnessError> {
    let repeats = plan.experiment.repeats;
    let missing = (shelf.ids().len() * repeats as usize).saturating_sub(journal.finished());
    if missing > 0 {
        return Ok(Outcome::Partial { plan: Box::new(plan), missing });
    }
    let mut table = Table::default();
    for (number, case) in shelf.cases().enumerate() {
        let case = case?;
        for repeat in 0..repeats {
            let question = Question { arm: 0, case: number, repeat };
            let Some(answer) = journal.answer(question.number(repeats))? else { continue };
            table.push(graded(&case, answer, ontology));
        }
    }
    // What encodes the rows is gone before what figures are made of is there, and the rows before the figures are.
    let (results_sha256, tally) = store.put_table(&plan.id, table.finish(), journal.finished()).await?;
    let mut record = Summary::of(&tally, plan.experiment.seed).into_record(plan, Utc::now(), resumed);
    drop(tally);
    cost.enter(&mut record);
    record.results_sha256 = results_sha256;
    store.publish(&record).await?;
    meters().finished(&record);
    Ok(Outcome::Published(Box::new(record)))
}

/// An answer beside the truth, with its scores.
pub(super) fn graded(case: &Case, answer: Answer, ontology: &Ontology) -> CaseResult {
    let scores = scores(case, &answer, ontology);
    CaseResult {
        answer,
        cluster: case.cluster.clone(),
        family: case.family.clone(),
        split: case.split,
        target_root_cause: case.target.root_cause.clone(),
        target_severity: case.target.severity,
        scores,
    }
}

/// What an answer to a case scores.
pub(super) fn scores(case: &Case, answer: &Answer, ontology: &Ontology) -> Scores {
    let graded = Graded {
        target: &case.target,
        split: case.split,
        class: answer.class,
        verdict: answer.verdict.as_ref(),
        decisive_ids: &answer.asked.decisive_ids,
        usage: answer.usage,
        latency_ms: answer.latency_ms,
        first_token_ms: answer.timings.first_token_ms,
    };
    score(&graded, ontology)
}
