//! From answers to a published run: joined with the truth, scored, summarised, committed.

use chrono::Utc;

use super::error::HarnessError;
use super::meter::Cost;
use crate::golden::{Case, Dataset};
use crate::ontology::Ontology;
use crate::run::{Answer, Answers, CaseResult, Plan, Run};
use crate::score::{Graded, score};
use crate::store::Store;
use crate::summary::summarise;

/// What became of a run.
#[derive(Debug)]
pub enum Outcome {
    /// Complete and published.
    Published(Box<Run>),
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
    dataset: &Dataset,
    plan: Plan,
    answers: Answers,
    (resumed, cost): (u32, Cost),
) -> Result<Outcome, HarnessError> {
    let results = rows(&plan, dataset, answers, ontology);
    let expected = dataset.cases.len() * plan.experiment.repeats as usize;
    let finished = results.iter().filter(|row| row.answer.is_finished()).count();
    if finished < expected {
        return Ok(Outcome::Partial { plan: Box::new(plan), missing: expected - finished });
    }
    let mut record = summarise(&results, plan.experiment.seed).into_record(plan, Utc::now(), resumed);
    cost.enter(&mut record);
    let mut run = Run { record, results };
    store.commit(&mut run).await?;
    Ok(Outcome::Published(Box::new(run)))
}

/// Joins answers with the truth, in the order of the dataset.
pub(super) fn rows(plan: &Plan, dataset: &Dataset, mut answers: Answers, ontology: &Ontology) -> Vec<CaseResult> {
    let mut rows = Vec::new();
    for case in &dataset.cases {
        let found = (0..plan.experiment.repeats).filter_map(|repeat| answers.remove(&(case.id.clone(), repeat)));
        rows.extend(found.map(|answer| graded(case, answer, ontology)));
    }
    rows
}

fn graded(case: &Case, answer: Answer, ontology: &Ontology) -> CaseResult {
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
    let scores = score(&graded, ontology);
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
