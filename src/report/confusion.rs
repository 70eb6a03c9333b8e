//! What was taken for what: severities, and the root causes that occur most.

use std::collections::BTreeMap;

use serde::Serialize;

use super::text::letter;
use crate::ontology::Severity;
use crate::run::{CaseResult, Run};
use crate::score::Metric;
use crate::verdict::Class;

/// Root causes with a row of their own; the rest share one.
const CAUSES: usize = 8;
const OTHER: &str = "any other";
const NO_VERDICT: &str = "no verdict";

/// One run's matrix: truth down, answers across. Counts are of answers, repeats included.
#[derive(Debug, Serialize)]
pub(super) struct Matrix {
    index: usize,
    letter: String,
    name: String,
    demo: bool,
    columns: Vec<String>,
    rows: Vec<MatrixRow>,
    /// Answers that count as right although they stand off the diagonal: the target accepts a second label.
    accepted: usize,
    /// Of the answers that meet under *any other*, those that are right.
    others_right: Option<usize>,
}

#[derive(Debug, Serialize)]
struct MatrixRow {
    truth: String,
    total: usize,
    cells: Vec<MatrixCell>,
}

#[derive(Debug, Serialize)]
struct MatrixCell {
    count: usize,
    /// Share of the row, in hundredths, for the shade.
    share: usize,
    kind: &'static str,
}

/// Severities, mildest first.
pub(super) fn severity(runs: &[Run]) -> Vec<Matrix> {
    let labels: Vec<String> = Severity::ALL.iter().map(ToString::to_string).collect();
    let truth = |row: &CaseResult| row.target_severity.to_string();
    let answer = |row: &CaseResult| row.answer.verdict.as_ref().map(|verdict| verdict.severity.to_string());
    matrices(runs, &labels, false, &truth, &answer)
}

/// The root causes that are true most often, the most frequent first.
pub(super) fn root_causes(runs: &[Run]) -> Vec<Matrix> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &runs[0].results {
        *counts.entry(&row.target_root_cause).or_default() += 1;
    }
    let mut frequent: Vec<(&str, usize)> = counts.into_iter().collect();
    frequent.sort_by(|x, y| y.1.cmp(&x.1).then(x.0.cmp(y.0)));
    let has_rest = frequent.len() > CAUSES;
    let labels: Vec<String> = frequent.iter().take(CAUSES).map(|(name, _)| (*name).to_owned()).collect();
    let truth = |row: &CaseResult| row.target_root_cause.clone();
    let answer = |row: &CaseResult| row.answer.verdict.as_ref().map(|verdict| verdict.root_cause.clone());
    matrices(runs, &labels, has_rest, &truth, &answer)
}

fn matrices(
    runs: &[Run],
    labels: &[String],
    has_rest: bool,
    truth: &dyn Fn(&CaseResult) -> String,
    answer: &dyn Fn(&CaseResult) -> Option<String>,
) -> Vec<Matrix> {
    let predicted = |row: &CaseResult| if row.answer.class.is_model_failure() { None } else { answer(row) };
    let is_asked = |row: &&CaseResult| row.answer.class != Class::InfraError;
    let rows: Vec<Vec<&CaseResult>> = runs.iter().map(|run| run.results.iter().filter(is_asked).collect()).collect();
    let known = |name: &str| labels.iter().any(|label| label == name);
    let all = || rows.iter().flatten().copied();
    let strays = all().any(|row| predicted(row).is_some_and(|name| !known(&name)));
    let failures = all().any(|row| predicted(row).is_none());
    let mut columns = labels.to_vec();
    columns.extend((strays || has_rest).then(|| OTHER.to_owned()));
    columns.extend(failures.then(|| NO_VERDICT.to_owned()));
    let mut truths = labels.to_vec();
    truths.extend(has_rest.then(|| OTHER.to_owned()));
    let place = |name: String| if known(&name) { name } else { OTHER.to_owned() };
    let matrix = |(index, rows): (usize, &Vec<&CaseResult>)| {
        let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
        let (mut accepted, mut others_right) = (0, 0);
        for row in rows {
            let (of, said) = (truth(row), predicted(row));
            let off = said.as_ref().is_some_and(|said| *said != of);
            let right = row.scores.get(&Metric::RootCause) == Some(&1.0);
            let both_other = !known(&of) && said.as_ref().is_some_and(|said| !known(said));
            accepted += usize::from(off && right && !both_other);
            others_right += usize::from(right && both_other);
            let said = said.map_or(NO_VERDICT.to_owned(), place);
            *counts.entry((place(of), said)).or_default() += 1;
        }
        let plan = &runs[index].record.plan;
        Matrix {
            index,
            letter: letter(index),
            name: plan.arm.name.clone(),
            demo: plan.model.spec.demo,
            rows: truths.iter().map(|truth| matrix_row(truth, &columns, &counts)).collect(),
            columns: columns.clone(),
            // Only root causes have a rest; a severity is right or wrong by itself.
            accepted: if has_rest || strays { accepted } else { 0 },
            others_right: has_rest.then_some(others_right),
        }
    };
    rows.iter().enumerate().map(matrix).collect()
}

fn matrix_row(truth: &str, columns: &[String], counts: &BTreeMap<(String, String), usize>) -> MatrixRow {
    let count = |said: &String| counts.get(&(truth.to_owned(), said.clone())).copied().unwrap_or_default();
    let total: usize = columns.iter().map(count).sum();
    let cell = |said: &String| MatrixCell {
        count: count(said),
        share: (100 * count(said)).checked_div(total).unwrap_or_default(),
        // Under "any other" different causes meet: being in one cell does not make them equal.
        kind: match said == truth {
            true if said == OTHER => "mixed",
            true => "right",
            false => "wrong",
        },
    };
    MatrixRow { truth: truth.to_owned(), total, cells: columns.iter().map(cell).collect() }
}
