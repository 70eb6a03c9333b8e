//! How far two readers of a dataset agree: the labels in `cases.jsonl` and those of the second, blind pass.

use std::collections::BTreeSet;

use serde::Serialize;

use super::normalise;
use crate::golden::{Case, Dataset, SecondPass};
use crate::ontology::{Ontology, Severity};
use crate::stats::agreement::{Confusion, Weights};

/// Agreement of the two passes on one field.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreement {
    /// What was labelled twice.
    pub field: &'static str,
    /// Cases that were.
    pub cases: usize,
    /// Cases with the same label.
    pub same: u64,
    /// Agreement beyond chance; `None` where chance has no meaning, or alone would agree fully.
    pub kappa: Option<f64>,
}

/// Agreement on root cause, severity and components, in this order.
///
/// # Errors
/// A label that the ontology does not have, with the case.
pub fn agreement(dataset: &Dataset, ontology: &Ontology) -> Result<[Agreement; 3], String> {
    let twice: Vec<(&Case, &SecondPass)> =
        dataset.cases.iter().filter_map(|case| Some((case, case.review.as_ref()?.second.as_ref()?))).collect();
    let labels = ontology.labels();
    let index = |case: &Case, name: &str| {
        let canonical = ontology.resolve(name);
        let found = canonical.and_then(|canonical| labels.iter().position(|label| label.name == canonical));
        found.ok_or_else(|| format!("{}: `{name}` is no label of ontology {}", case.id, ontology.version))
    };
    let mut root_cause = Confusion::new(labels.len());
    let mut severity = Confusion::new(Severity::ALL.len());
    let mut same_components: u64 = 0;
    for (case, second) in &twice {
        let (ours, theirs) = (index(case, &case.target.root_cause)?, index(case, &second.root_cause)?);
        root_cause.record(ours, theirs).map_err(|error| error.to_string())?;
        let (ours, theirs) = (case.target.severity as usize, second.severity as usize);
        severity.record(ours, theirs).map_err(|error| error.to_string())?;
        same_components += u64::from(set(&case.target.components) == set(&second.components));
    }
    let row = |field, confusion: &Confusion, kappa| Agreement {
        field,
        cases: twice.len(),
        same: (0..confusion.labels()).map(|i| confusion.count(i, i)).sum(),
        kappa,
    };
    Ok([
        row("root_cause", &root_cause, root_cause.kappa(Weights::Equal)),
        row("severity (quadratic)", &severity, severity.kappa(Weights::Quadratic)),
        // Sets of free words have no chance agreement to correct for.
        Agreement { field: "components", cases: twice.len(), same: same_components, kappa: None },
    ])
}

fn set(items: &[String]) -> BTreeSet<String> {
    items.iter().map(|item| normalise(item)).collect()
}
