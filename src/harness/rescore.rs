//! A saved run scored again: the answers as they were stored, the scorers and figures as they are now, no model.
//!
//! Refused where the truth is no longer the one that the run was asked about: that would be another evaluation.

use std::collections::HashMap;

use serde::Serialize;

use super::error::HarnessError;
use super::meter::Cost;
use super::plan::identify;
use super::publish::scores;
use crate::installation::{Installation, Shelf};
use crate::ontology::Ontology;
use crate::run::{CaseResult, Run, RunRecord};
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

/// Scores the answers of `stored` with the scorers of this version, one case after the other.
///
/// # Errors
/// A dataset or an ontology that is not there or not the one that the run was made with.
pub fn rescore(installation: &Installation, stored: Run) -> Result<Rescored, HarnessError> {
    let plan = &stored.record.plan;
    let shelf = installation.shelf(&plan.experiment.dataset)?;
    let ontologies = installation.pipeline.prompts.ontologies();
    let ontology = ontologies.get(&plan.pipeline.ontology);
    let same = |field, planned: &str, found: &str| {
        let (id, wanted) = (plan.id.clone(), "scored again");
        let (planned, now) = (planned.to_owned(), found.to_owned());
        if planned == now { Ok(()) } else { Err(HarnessError::Changed { id, wanted, field, planned, found: now }) }
    };
    same("dataset.sha256", &plan.dataset.sha256, &identify(&shelf.manifest).sha256)?;
    let found = ontology.map_or("not there", |ontology| ontology.sha256.as_str());
    same("pipeline.ontology_sha256", &plan.pipeline.ontology_sha256, found)?;
    let ontology = ontology.expect("a missing one has no hash and was refused");

    let (results, rows_changed) = scored(&shelf, stored.results, ontology)?;
    let mut plan = plan.clone();
    plan.pipeline.scorer = score::VERSION.to_owned();
    let mut record =
        summarise(&results, plan.experiment.seed).into_record(plan, stored.record.finished, stored.record.resumed);
    Cost::of(&stored.record).enter(&mut record);
    record.results_sha256.clone_from(&stored.record.results_sha256);
    let changes = changes(&stored.record, &record);
    let differs = rows_changed > 0 || record != stored.record;
    Ok(Rescored { run: Run { record, results }, changes, rows_changed, differs })
}

/// The rows with the truth and the scores as they are now, in the order of the dataset; and how many changed.
fn scored(
    shelf: &Shelf,
    mut rows: Vec<CaseResult>,
    ontology: &Ontology,
) -> Result<(Vec<CaseResult>, usize), HarnessError> {
    let numbers: HashMap<&str, usize> = shelf.ids().zip(0..).collect();
    let number = |row: &CaseResult| numbers.get(row.answer.case.as_str()).copied();
    rows.retain(|row| number(row).is_some());
    rows.sort_by_key(|row| (number(row), row.answer.repeat));
    let (mut changed, mut next) = (0, 0);
    for (at, case) in shelf.cases().enumerate() {
        let case = case?;
        while let Some(row) = rows.get_mut(next).filter(|row| number(row) == Some(at)) {
            let before = std::mem::replace(&mut row.scores, scores(&case, &row.answer, ontology));
            changed += usize::from(row.scores != before);
            next += 1;
        }
    }
    Ok((rows, changed))
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
