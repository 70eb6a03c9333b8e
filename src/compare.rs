//! Two runs, case by case: may anyone say that one is better?
//!
//! Runs that were made from different questions or scored by different rules are refused, with the field that differs.

mod gate;
mod night;
mod reproduction;

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

pub use gate::{Baseline, GateRecord, RunGate, gate_runs};
pub use night::{RunNight, watched};
pub use reproduction::{CaseDifference, FieldDifference, Reproduction, Share, reproduction};

use crate::run::{CaseResult, Run, RunRecord};
use crate::score::{Metric, Unit};
use crate::stats::{self, Comparison, Conclusion, Pair, Plan, StatsError};
use crate::tally::{Mark, Tallied, Tally, mean, paired};

/// Why two runs are not compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// They differ in what must be the same.
    #[error("runs differ in `{field}`: {a} against {b}\n  hint: {hint}")]
    Incomparable {
        /// The field of the record.
        field: &'static str,
        /// Its value in the first run.
        a: String,
        /// Its value in the second.
        b: String,
        /// The way out.
        hint: &'static str,
    },
    /// The primary metric cannot be computed.
    #[error("`{metric}` cannot be compared: {source}")]
    Stats {
        /// The metric.
        metric: Metric,
        /// What is wrong with its values.
        source: StatsError,
    },
}

/// One metric of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What was measured.
    pub metric: Metric,
    /// Whether this metric decides; the others are exploratory.
    pub primary: bool,
    /// The paired difference, its test and the conclusion.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// Holm-adjusted p-value: of an exploratory metric over those of its comparison, of the primary one over its
    /// [`family`].
    pub p_adjusted: Option<f64>,
}

/// Two runs compared on every metric that both have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunComparison {
    /// Id of the reference run.
    pub a: String,
    /// Id of the run that is judged.
    pub b: String,
    /// What the reference is, for people.
    pub a_title: String,
    /// What is judged, for people.
    pub b_title: String,
    /// The difference that would not matter, in the primary metric's unit.
    pub margin: f64,
    /// The primary metric first.
    pub rows: Vec<Row>,
    /// What to know of the runs before reading it, such as that one was resumed on another machine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Refuses two runs whose difference would mean nothing.
///
/// # Errors
/// The first field that differs and must not.
pub fn comparable(a: &RunRecord, b: &RunRecord) -> Result<(), Refusal> {
    let same = |field, a: &dyn ToString, b: &dyn ToString, hint| {
        let (a, b) = (a.to_string(), b.to_string());
        if a == b { Ok(()) } else { Err(Refusal::Incomparable { field, a, b, hint }) }
    };
    let rerun = "run both arms again over the same dataset";
    let (p, q) = (&a.plan, &b.plan);
    same("sample", &p.sample, &q.sample, "what was resampled says nothing about what was measured")?;
    same("dataset.sha256", &p.dataset.sha256, &q.dataset.sha256, rerun)?;
    same("pipeline.ontology_sha256", &p.pipeline.ontology_sha256, &q.pipeline.ontology_sha256, rerun)?;
    same("pipeline.scorer", &p.pipeline.scorer, &q.pipeline.scorer, "score both runs again with this version")?;
    let profile = "a profile changes what a model answers: run both in one";
    same("experiment.profile", &p.experiment.profile.as_str(), &q.experiment.profile.as_str(), profile)?;
    same("experiment.repeats", &p.experiment.repeats, &q.experiment.repeats, "run both equally often")?;
    let answers = |record: &RunRecord| record.classes.values().sum::<usize>();
    same("answers", &answers(a), &answers(b), "finish the shorter run: `assay eval resume`")
}

/// Compares run `b` with run `a`: the primary metric decides, the others are Holm-adjusted and exploratory.
///
/// # Errors
/// Runs that are not comparable, or a primary metric that cannot be computed.
pub fn compare_runs(a: &Run, b: &Run, primary: Metric, margin: f64, seed: u64) -> Result<RunComparison, Refusal> {
    let (ours, theirs) = (Tally::of(&a.results), Tally::of(&b.results));
    compare((&a.record, &ours), (&b.record, &theirs), primary, margin, seed)
}

/// [`compare_runs`] of what was read of the runs for it.
///
/// # Errors
/// As [`compare_runs`].
pub fn compare_tallied(
    a: &Tallied,
    b: &Tallied,
    primary: Metric,
    margin: f64,
    seed: u64,
) -> Result<RunComparison, Refusal> {
    compare((&a.record, &a.tally), (&b.record, &b.tally), primary, margin, seed)
}

fn compare(
    (a, ours): (&RunRecord, &Tally),
    (b, theirs): (&RunRecord, &Tally),
    primary: Metric,
    margin: f64,
    seed: u64,
) -> Result<RunComparison, Refusal> {
    comparable(a, b)?;
    same_cases(ours, theirs)?;
    let cases = paired(ours, theirs);
    let others = Metric::ALL.into_iter().filter(|metric| *metric != primary);
    let metrics: Vec<Metric> = std::iter::once(primary).chain(others).collect();
    let question = |metric: &Metric| {
        let margin = if *metric == primary { margin } else { 0.0 };
        (pairs(&cases, *metric), plan(*metric, margin, seed))
    };
    let questions: Vec<_> = metrics.iter().map(question).collect();
    let mut rows = Vec::with_capacity(metrics.len());
    for (metric, compared) in metrics.into_iter().zip(stats::compare_each(&questions)) {
        match compared {
            Ok(comparison) => rows.push(Row { metric, primary: metric == primary, comparison, p_adjusted: None }),
            Err(source) if metric == primary => return Err(Refusal::Stats { metric, source }),
            // A metric that one of the arms does not have, such as tokens of the rule baseline, is left out.
            Err(_) => {}
        }
    }
    adjust(rows.iter_mut().filter(|row| !row.primary).collect());
    Ok(RunComparison {
        a: a.plan.id.clone(),
        b: b.plan.id.clone(),
        a_title: a.plan.title(),
        b_title: b.plan.title(),
        margin,
        rows,
        notes: [&a.plan, &b.plan].into_iter().flat_map(notes).collect(),
    })
}

fn notes(plan: &crate::run::Plan) -> Vec<String> {
    plan.moves().into_iter().map(|moved| format!("{} was {moved}: its times are not of one machine", plan.id)).collect()
}

fn plan(metric: Metric, margin: f64, seed: u64) -> Plan {
    Plan { direction: metric.direction(), scale: metric.scale(), margin, seed }
}

fn same_cases(a: &Tally, b: &Tally) -> Result<(), Refusal> {
    let keys = |tally: &Tally| -> BTreeSet<(String, u32)> {
        tally.marks().iter().map(|mark| (mark.of.case().to_owned(), mark.repeat)).collect()
    };
    let alike = |(x, y): (&Mark, &Mark)| (x.of.case(), x.repeat) == (y.of.case(), y.repeat);
    if a.marks().len() == b.marks().len() && a.marks().iter().zip(b.marks()).all(alike) {
        return Ok(());
    }
    let (ours, theirs) = (keys(a), keys(b));
    match ours.symmetric_difference(&theirs).next() {
        None => Ok(()),
        Some(key @ (case, repeat)) => {
            let has = |there: bool| if there { "has it" } else { "lacks it" }.to_owned();
            let (in_a, in_b) = (has(ours.contains(key)), has(theirs.contains(key)));
            let a = format!("case {case}, repeat {repeat}: {in_a}");
            Err(Refusal::Incomparable { field: "cases", a, b: in_b, hint: "finish both runs" })
        }
    }
}

/// The cases of which both sides have a score.
fn pairs<'t>(cases: &[(&'t [Mark], &'t [Mark])], metric: Metric) -> Vec<Pair<'t>> {
    let pair = |(ours, theirs): &(&[Mark], &'t [Mark])| {
        Some(Pair { cluster: theirs[0].of.cluster(), a: mean(ours, metric)?, b: mean(theirs, metric)? })
    };
    cases.iter().filter_map(pair).collect()
}

/// Compares one metric over some of the cases of two runs, such as those of a split; exploratory by nature.
///
/// # Errors
/// No case that both have, or values that cannot be compared.
pub fn compare_rows<'r>(
    a: impl IntoIterator<Item = &'r CaseResult>,
    b: impl IntoIterator<Item = &'r CaseResult>,
    metric: Metric,
    margin: f64,
    seed: u64,
) -> Result<Comparison, StatsError> {
    let (ours, theirs) = (Tally::of(a), Tally::of(b));
    stats::compare(&pairs(&paired(&ours, &theirs), metric), &plan(metric, margin, seed))
}

/// Comparisons that are read together: each primary p-value is Holm-adjusted over them. One alone stays as it is.
pub fn family(comparisons: &mut [RunComparison]) {
    if comparisons.len() > 1 {
        adjust(comparisons.iter_mut().filter_map(|comparison| comparison.rows.first_mut()).collect());
    }
}

/// Holm's adjustment; a conclusion that does not survive it becomes *cannot tell*.
fn adjust(rows: Vec<&mut Row>) {
    let p_values: Vec<f64> = rows.iter().map(|row| row.comparison.p_value).collect();
    let Ok(adjusted) = stats::holm(&p_values) else { return };
    for (row, p) in rows.into_iter().zip(adjusted) {
        row.p_adjusted = Some(p);
        let claims = matches!(row.comparison.conclusion, Conclusion::Better | Conclusion::Worse);
        if claims && p > stats::ALPHA {
            row.comparison.conclusion = Conclusion::CannotTell;
        }
    }
}

/// A value as a person reads it, in the metric's unit.
pub fn value(metric: Metric, value: f64) -> String {
    match metric.unit() {
        Unit::Share => format!("{:.1} %", value * 100.0),
        Unit::Milliseconds | Unit::Tokens | Unit::Steps | Unit::Count => amount(metric, value),
    }
}

/// A difference as a person reads it: percentage points for shares, with its sign.
pub fn difference(metric: Metric, value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "+" };
    format!("{sign}{}", amount(metric, value.abs()))
}

/// A p-value as a person reads it: never zero.
pub fn probability(p: f64) -> String {
    if p < 0.001 { "p < 0.001".to_owned() } else { format!("p = {p:.3}") }
}

/// A size as a person reads it, in the metric's unit.
pub fn amount(metric: Metric, value: f64) -> String {
    match metric.unit() {
        Unit::Share => format!("{:.1} pp", value * 100.0),
        Unit::Milliseconds => format!("{value:.1} ms"),
        Unit::Tokens => format!("{value:.0} tokens"),
        Unit::Steps | Unit::Count => format!("{value:.2}"),
    }
}

impl RunComparison {
    /// The row that decides.
    pub fn primary(&self) -> &Row {
        &self.rows[0]
    }
}

/// The conclusion in one sentence.
impl fmt::Display for RunComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = self.primary();
        let c = &row.comparison;
        let shown = |value: f64| difference(row.metric, value);
        let interval = match (c.ci_low, c.ci_high) {
            (Some(low), Some(high)) => format!("95 % CI {} to {}", shown(low), shown(high)),
            _ => "no honest interval".to_owned(),
        };
        let facts = format!(
            "{} {} ({interval}, {}, {} cases in {} clusters)",
            row.metric,
            shown(c.delta),
            row.p_adjusted.map_or(probability(c.p_value), |p| format!("Holm-adjusted {}", probability(p))),
            c.n_cases,
            c.n_clusters
        );
        let (a, b) = (&self.a_title, &self.b_title);
        match c.conclusion {
            Conclusion::Better => write!(f, "[{b}] is better than [{a}]: {facts}")?,
            Conclusion::Worse => write!(f, "[{b}] is worse than [{a}]: {facts}")?,
            Conclusion::Equivalent => {
                write!(f, "[{b}] and [{a}] are equivalent within {}: {facts}", amount(row.metric, self.margin))?;
            }
            Conclusion::CannotTell => write!(f, "cannot tell [{b}] from [{a}]: {facts}")?,
        }
        match c.mde {
            Some(mde) => write!(f, "; this dataset finds differences from {} on", amount(row.metric, mde)),
            None => Ok(()),
        }
    }
}
