//! A run and its repetition, answer by answer: what came out the same, what did not, and what around them differs.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::run::{CaseResult, Run};
use crate::score::Metric;

/// An answer that did not come out the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseDifference {
    /// Case id.
    pub case: String,
    /// Which repeat of the case, from 0.
    pub repeat: u32,
    /// What differs: `missing`, or of `verdict`, `class` and `rendered_hash` those that do.
    pub fields: Vec<&'static str>,
    /// Class and root cause in the original.
    pub before: String,
    /// Class and root cause in the repetition.
    pub after: String,
}

/// How many answers are alike in one respect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Share {
    /// The respect.
    pub field: &'static str,
    /// Answers alike.
    pub same: usize,
    /// Answers in all.
    pub of: usize,
}

/// A field of what made the runs that is not the same in both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldDifference {
    /// Its path in `run.json`.
    pub field: String,
    /// Its value in the original.
    pub before: Value,
    /// Its value in the repetition.
    pub after: Value,
}

/// What a repetition showed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reproduction {
    /// Id of the original.
    pub original: String,
    /// Id of the repetition.
    pub repetition: String,
    /// Whether every answer has the same verdict, class and rendered prompt.
    pub identical: bool,
    /// The measured spread: how many answers are alike in each respect.
    pub shares: Vec<Share>,
    /// The metric of the experiment.
    pub primary: Metric,
    /// Its value in the original.
    pub primary_before: Option<f64>,
    /// Its value in the repetition.
    pub primary_after: Option<f64>,
    /// Answers that differ, in the order of cases.
    pub cases: Vec<CaseDifference>,
    /// Fields of environment, model, pipeline and dataset that differ.
    pub fields: Vec<FieldDifference>,
}

type Same = fn(&CaseResult, &CaseResult) -> bool;

/// The respects in which answers are held against each other; the first three decide whether they are identical.
const RESPECTS: [(&str, Same); 5] = [
    ("verdict", |a, b| a.answer.verdict == b.answer.verdict),
    ("class", |a, b| a.answer.class == b.answer.class),
    ("rendered_hash", |a, b| a.answer.asked.rendered_hash == b.answer.asked.rendered_hash),
    ("root_cause", |a, b| root_cause(a) == root_cause(b)),
    ("severity", |a, b| severity(a) == severity(b)),
];

/// Respects that decide.
const DECISIVE: usize = 3;

/// Holds `repetition` against `original`.
pub fn reproduction(original: &Run, repetition: &Run) -> Reproduction {
    let key = |row: &CaseResult| (row.answer.case.clone(), row.answer.repeat);
    let theirs: BTreeMap<_, &CaseResult> = repetition.results.iter().map(|row| (key(row), row)).collect();
    let pairs: Vec<(&CaseResult, Option<&CaseResult>)> =
        original.results.iter().map(|row| (row, theirs.get(&key(row)).copied())).collect();
    let share = |(field, same): &(&'static str, Same)| Share {
        field,
        same: pairs.iter().filter(|(a, b)| b.is_some_and(|b| same(a, b))).count(),
        of: pairs.len(),
    };
    let cases: Vec<CaseDifference> = pairs.iter().filter_map(|(a, b)| case_difference(a, *b)).collect();
    let primary = original.record.plan.experiment.primary;
    let value = |run: &Run| run.record.metrics.get(&primary).map(|estimate| estimate.value);
    Reproduction {
        original: original.record.plan.id.clone(),
        repetition: repetition.record.plan.id.clone(),
        identical: cases.is_empty() && original.results.len() == repetition.results.len(),
        shares: RESPECTS.iter().map(share).collect(),
        primary,
        primary_before: value(original),
        primary_after: value(repetition),
        cases,
        fields: field_differences(original, repetition),
    }
}

fn case_difference(a: &CaseResult, b: Option<&CaseResult>) -> Option<CaseDifference> {
    let fields = match b {
        None => vec!["missing"],
        Some(b) => RESPECTS[..DECISIVE].iter().filter(|(_, same)| !same(a, b)).map(|(field, _)| *field).collect(),
    };
    let after = b.map_or_else(|| "-".to_owned(), shown);
    let answer = &a.answer;
    let found = CaseDifference { case: answer.case.clone(), repeat: answer.repeat, fields, before: shown(a), after };
    (!found.fields.is_empty()).then_some(found)
}

fn shown(row: &CaseResult) -> String {
    match root_cause(row) {
        Some(root_cause) => format!("{} {root_cause}", row.answer.class),
        None => row.answer.class.to_string(),
    }
}

fn root_cause(row: &CaseResult) -> Option<&str> {
    row.answer.verdict.as_ref().map(|verdict| verdict.root_cause.as_str())
}

fn severity(row: &CaseResult) -> Option<crate::ontology::Severity> {
    row.answer.verdict.as_ref().map(|verdict| verdict.severity)
}

fn field_differences(original: &Run, repetition: &Run) -> Vec<FieldDifference> {
    let parts = |run: &Run| {
        let plan = &run.record.plan;
        serde_json::json!({
            "environment": plan.environment, "model": plan.model, "pipeline": plan.pipeline, "dataset": plan.dataset,
        })
    };
    let mut found = Vec::new();
    differences("", &parts(original), &parts(repetition), &mut found);
    found
}

/// Leaves of two documents that differ, by their paths.
fn differences(path: &str, before: &Value, after: &Value, found: &mut Vec<FieldDifference>) {
    match (before, after) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let mut names: Vec<&String> = ours.keys().collect();
            names.extend(theirs.keys().filter(|name| !ours.contains_key(*name)));
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let side = |side: &serde_json::Map<String, Value>| side.get(name).cloned().unwrap_or(Value::Null);
                differences(&path, &side(ours), &side(theirs), found);
            }
        }
        (before, after) if before == after => {}
        (before, after) => {
            found.push(FieldDifference { field: path.to_owned(), before: before.clone(), after: after.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differing_leaves_are_named_by_their_path() {
        let mut found = Vec::new();
        let before = json!({ "a": { "x": 1, "y": [1] }, "b": null, "c": true });
        let after = json!({ "a": { "x": 1, "y": [2] }, "b": 3, "c": true, "d": "new" });
        differences("", &before, &after, &mut found);
        let fields: Vec<&str> = found.iter().map(|difference| difference.field.as_str()).collect();
        assert_eq!(fields, ["a.y", "b", "d"]);
        assert_eq!((&found[2].before, &found[2].after), (&Value::Null, &json!("new")));
    }
}
