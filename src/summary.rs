//! What a run amounts to: every metric over all cases, by split and by family, each with its interval.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::ontology::Severity;
use crate::run::{CaseResult, Classes, Metrics, Plan, Pooled, RunRecord};
use crate::score::Metric;
use crate::stats::agreement::{Rating, Weights, kappa};
use crate::stats::{
    CaseMean, Clustered, Estimate, QuantileEstimate, average_repeats, clustered_quantile, estimate_each,
};
use crate::tally::{Mark, Tally, mean};

/// A run's numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Outcome classes over all answers.
    pub classes: Classes,
    /// Metrics over all cases.
    pub metrics: Metrics,
    /// Metrics by split.
    pub by_split: BTreeMap<String, Metrics>,
    /// Metrics by family.
    pub by_family: BTreeMap<String, Metrics>,
    /// Latency from window to verdict: p50, p95, p99, in milliseconds.
    pub latency_ms: Vec<QuantileEstimate>,
    /// Quadratic-weighted kappa of the severity, and micro-averaged F1 of the components.
    pub pooled: Pooled,
    /// The same by split.
    pub pooled_by_split: BTreeMap<String, Pooled>,
    /// The same by family.
    pub pooled_by_family: BTreeMap<String, Pooled>,
}

impl Summary {
    /// The numbers of a run; `seed` feeds every bootstrap.
    pub fn of(tally: &Tally, seed: u64) -> Self {
        let mut classes = Classes::new();
        for mark in tally.marks() {
            *classes.entry(mark.class).or_default() += 1;
        }
        let latencies = || tally.marks().iter().map(|mark| (mark.of.cluster(), mark.latency_ms));
        let latency_ms =
            [0.5, 0.95, 0.99].iter().filter_map(|q| clustered_quantile(latencies(), *q).ok().flatten()).collect();
        let all: Vec<&[Mark]> = tally.cases().collect();
        let splits = grouped(&all, |case| case[0].split.as_str());
        let families = grouped(&all, |case| case[0].of.family());
        let (whole, whole_pooled) = (metrics(&all, seed), pooled(&all, seed));
        // A group of all cases has the figures of all cases.
        let metrics = |cases: &Cases<'_>| if cases.len() == all.len() { whole.clone() } else { metrics(cases, seed) };
        let pooled =
            |cases: &Cases<'_>| if cases.len() == all.len() { whole_pooled.clone() } else { pooled(cases, seed) };
        Self {
            classes,
            by_split: each(&splits, metrics),
            by_family: each(&families, metrics),
            latency_ms,
            pooled_by_split: each(&splits, pooled),
            pooled_by_family: each(&families, pooled),
            metrics: whole,
            pooled: whole_pooled,
        }
    }

    /// The record of a run with these numbers; the hash of its results is the store's business.
    pub fn into_record(self, plan: Plan, finished: DateTime<Utc>, resumed: u32) -> RunRecord {
        RunRecord {
            plan,
            finished,
            resumed,
            classes: self.classes,
            metrics: self.metrics,
            by_split: self.by_split,
            by_family: self.by_family,
            latency_ms: self.latency_ms,
            severity_kappa: self.pooled.severity_kappa,
            component_micro_f1: self.pooled.component_micro_f1,
            pooled_by_split: self.pooled_by_split,
            pooled_by_family: self.pooled_by_family,
            cpu_seconds: None,
            energy_joules: None,
            results_sha256: String::new(),
        }
    }
}

/// Summarises rows; `seed` feeds every bootstrap.
pub fn summarise(rows: &[CaseResult], seed: u64) -> Summary {
    Summary::of(&Tally::of(rows), seed)
}

/// Metrics that are estimated together. Each holds numbers of every cluster until then, so that all of them at once would
/// take more memory than what they are made of; these and their weights are added up side by side.
const AT_A_TIME: usize = 7;

/// The marks of some cases, a slice for each.
type Cases<'t> = [&'t [Mark]];

fn grouped<'t>(cases: &Cases<'t>, group: impl Fn(&'t [Mark]) -> &'t str) -> BTreeMap<&'t str, Vec<&'t [Mark]>> {
    let mut groups: BTreeMap<&str, Vec<&[Mark]>> = BTreeMap::new();
    for case in cases {
        groups.entry(group(case)).or_default().push(case);
    }
    groups
}

fn each<T>(groups: &BTreeMap<&str, Vec<&[Mark]>>, figures: impl Fn(&Cases<'_>) -> T) -> BTreeMap<String, T> {
    groups.iter().map(|(name, cases)| ((*name).to_owned(), figures(cases))).collect()
}

/// One value per case that has a score, with its cluster.
fn means<'t>(cases: &Cases<'t>, metric: Metric) -> impl Iterator<Item = (&'t str, f64)> {
    cases.iter().filter_map(move |case| Some((case[0].of.cluster(), mean(case, metric)?)))
}

fn metrics(cases: &Cases<'_>, seed: u64) -> Metrics {
    let some = |some: &[Metric]| {
        let clustered = |metric: &Metric| Some((*metric, Clustered::new(means(cases, *metric), metric.scale()).ok()?));
        let measured: Vec<(Metric, Clustered)> = some.iter().filter_map(clustered).collect();
        let values: Vec<&Clustered> = measured.iter().map(|(_, values)| values).collect();
        let estimates = estimate_each(&values, seed);
        let found = measured.iter().zip(estimates).filter_map(|((metric, _), estimate)| Some((*metric, estimate?)));
        found.collect::<Vec<_>>()
    };
    Metric::ALL.chunks(AT_A_TIME).flat_map(some).collect()
}

fn pooled(cases: &Cases<'_>, seed: u64) -> Pooled {
    Pooled { severity_kappa: severity_kappa(cases, seed), component_micro_f1: component_micro_f1(cases, seed) }
}

fn severity_kappa(cases: &Cases<'_>, seed: u64) -> Option<Estimate> {
    let rating = |mark| {
        let Mark { of, severity, .. }: &Mark = mark;
        let (truth, predicted) = severity.map(|(truth, predicted)| (truth.into(), predicted.into()))?;
        Some(Rating { cluster: of.cluster(), truth, predicted })
    };
    let ratings: Vec<Rating<'_>> = cases.iter().flat_map(|case| case.iter()).filter_map(rating).collect();
    kappa(&ratings, Severity::ALL.len(), Weights::Quadratic, seed).ok().flatten()
}

/// 2 right / (2 right + wrong + missed) over the sums of all cases, repeats averaged.
fn component_micro_f1(cases: &Cases<'_>, seed: u64) -> Option<Estimate> {
    let parts = [Metric::ComponentsRight, Metric::ComponentsWrong, Metric::ComponentsMissed];
    let counts = cases.iter().filter_map(|case| {
        let [right, wrong, missed] = parts.map(|metric| mean(case, metric));
        let above = 2.0 * right?;
        Some((case[0].of.cluster(), above, above + wrong? + missed?))
    });
    Clustered::ratio(counts).ok()?.estimate(seed)
}

/// One value of `metric` per case, repeats averaged; cases without a score are left out.
pub fn case_means<'a>(rows: impl IntoIterator<Item = &'a CaseResult>, metric: Metric) -> Vec<CaseMean<'a>> {
    let scored = rows
        .into_iter()
        .filter_map(|row| Some((row.cluster.as_str(), row.answer.case.as_str(), row.scores.get(&metric).copied()?)));
    average_repeats(scored)
}
