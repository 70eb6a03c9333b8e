//! A saved run scored again: the answers as they were stored, the scorers and figures as they are now, no model.
//!
//! Refused where the truth is no longer the one that the run was asked about: that would be another evaluation.

use serde::Serialize;

use super::error::HarnessError;
use super::meter::Cost;
use super::plan::identify;
use super::publish::rows;
use crate::installation::Installation;
use crate::run::{Answers, Run, RunRecord};
use crate::score::{self, Metric};
use crate::stats::Estimate;
use crate::summary::summarise;

/// A figure of a run that came out differently.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// A metric, `severity_kappa` or `component_micro_f1`.
    pub figure: String,
    /// Its stored value, where there is one.
    pub before: Option<f64>,
    /// Its value now.
    pub after: Option<f64>,
}

/// A run with its scores of today.
#[derive(Debug, Clone, PartialEq)]
pub struct Rescored {
    /// The run as it would be written; its hash of the results is filled in when that happens.
    pub run: Run,
    /// Figures that came out differently, over all cases.
    pub changes: Vec<Change>,
    /// Answers whose scores came out differently.
    pub rows_changed: usize,
    /// Whether anything at all differs from what is stored, intervals and versions included.
    pub differs: bool,
}

/// Scores the answers of `stored` with the scorers of this version.
///
/// # Errors
/// A dataset or an ontology that is not there or not the one that the run was made with.
pub fn rescore(installation: &Installation, stored: &Run) -> Result<Rescored, HarnessError> {
    let plan = &stored.record.plan;
    let dataset = installation.dataset(&plan.experiment.dataset)?;
    let ontologies = installation.pipeline.prompts.ontologies();
    let ontology = ontologies.get(&plan.pipeline.ontology);
    let same = |field, planned: &str, found: &str| {
        let (id, wanted) = (plan.id.clone(), "scored again");
        let (planned, now) = (planned.to_owned(), found.to_owned());
        if planned == now { Ok(()) } else { Err(HarnessError::Changed { id, wanted, field, planned, found: now }) }
    };
    same("dataset.sha256", &plan.dataset.sha256, &identify(&dataset).sha256)?;
    let found = ontology.map_or("not there", |ontology| ontology.sha256.as_str());
    same("pipeline.ontology_sha256", &plan.pipeline.ontology_sha256, found)?;
    let ontology = ontology.expect("a missing one has no hash and was refused");

    let answers: Answers =
        stored.results.iter().map(|row| ((row.answer.case.clone(), row.answer.repeat), row.answer.clone())).collect();
    let results = rows(plan, &dataset, answers, ontology);
    let mut plan = plan.clone();
    plan.pipeline.scorer = score::VERSION.to_owned();
    let mut record =
        summarise(&results, plan.experiment.seed).into_record(plan, stored.record.finished, stored.record.resumed);
    Cost::of(&stored.record).enter(&mut record);
    record.results_sha256.clone_from(&stored.record.results_sha256);
    let changes = changes(&stored.record, &record);
    let rows_changed = results.iter().zip(&stored.results).filter(|(now, then)| now.scores != then.scores).count();
    let run = Run { record, results };
    let differs = run != *stored;
    Ok(Rescored { run, changes, rows_changed, differs })
}

fn changes(before: &RunRecord, after: &RunRecord) -> Vec<Change> {
    let value = |estimate: Option<&Estimate>| estimate.map(|estimate| estimate.value);
    let metric = |metric: Metric| {
        let of = |record: &RunRecord| value(record.metrics.get(&metric));
        (metric.to_string(), of(before), of(after))
    };
    let kappa = |record: &RunRecord| value(record.severity_kappa.as_ref());
    let micro = |record: &RunRecord| value(record.component_micro_f1.as_ref());
    let others = [
        ("severity_kappa".to_owned(), kappa(before), kappa(after)),
        ("component_micro_f1".to_owned(), micro(before), micro(after)),
    ];
    let figures = Metric::ALL.into_iter().map(metric).chain(others);
    figures
        .filter(|(_, before, after)| before != after)
        .map(|(figure, before, after)| Change { figure, before, after })
        .collect()
}
