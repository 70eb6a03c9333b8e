//! What a run amounts to: every metric over all cases, by split and by family, each with its interval.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::ontology::Severity;
use crate::run::{CaseResult, Classes, Metrics, Plan, RunRecord};
use crate::score::{Metric, severity_rating};
use crate::stats::agreement::{Rating, Weights, kappa};
use crate::stats::{CaseMean, Clustered, Estimate, QuantileEstimate, average_repeats, clustered_quantile};

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
    /// Quadratic-weighted kappa of the severity.
    pub severity_kappa: Option<Estimate>,
    /// Micro-averaged F1 of the components.
    pub component_micro_f1: Option<Estimate>,
}

impl Summary {
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
            severity_kappa: self.severity_kappa,
            component_micro_f1: self.component_micro_f1,
            cpu_seconds: None,
            energy_joules: None,
            results_sha256: String::new(),
        }
    }
}

/// Summarises rows; `seed` feeds every bootstrap.
pub fn summarise(rows: &[CaseResult], seed: u64) -> Summary {
    let mut classes = Classes::new();
    for row in rows {
        *classes.entry(row.answer.class).or_default() += 1;
    }
    let latencies = || rows.iter().map(|row| (row.cluster.as_str(), row.answer.latency_ms));
    let latency_ms =
        [0.5, 0.95, 0.99].iter().filter_map(|q| clustered_quantile(latencies(), *q).ok().flatten()).collect();
    Summary {
        classes,
        metrics: metrics(rows, |_| true, seed),
        by_split: grouped(rows, |row| row.split.as_str(), seed),
        by_family: grouped(rows, |row| &row.family, seed),
        latency_ms,
        severity_kappa: severity_kappa(rows, seed),
        component_micro_f1: component_micro_f1(rows, seed),
    }
}

fn severity_kappa(rows: &[CaseResult], seed: u64) -> Option<Estimate> {
    let ratings: Vec<Rating<'_>> = rows
        .iter()
        .filter_map(|row| {
            let answer = &row.answer;
            let (truth, predicted) = severity_rating(row.target_severity, answer.class, answer.verdict.as_ref())?;
            Some(Rating { cluster: &row.cluster, truth, predicted })
        })
        .collect();
    kappa(&ratings, Severity::ALL.len(), Weights::Quadratic, seed).ok().flatten()
}

/// 2 right / (2 right + wrong + missed) over the sums of all cases, repeats averaged.
fn component_micro_f1(rows: &[CaseResult], seed: u64) -> Option<Estimate> {
    let parts = [Metric::ComponentsRight, Metric::ComponentsWrong, Metric::ComponentsMissed];
    let [right, wrong, missed] = parts.map(|metric| case_means(rows, metric));
    // A scored answer has all three, so that they come in one order.
    let counts = right.iter().zip(&wrong).zip(&missed).map(|((right, wrong), missed)| {
        let above = 2.0 * right.value;
        (right.cluster, above, above + wrong.value + missed.value)
    });
    Clustered::ratio(counts).ok()?.estimate(seed)
}

fn grouped<'a>(
    rows: &'a [CaseResult],
    group: impl Fn(&'a CaseResult) -> &'a str,
    seed: u64,
) -> BTreeMap<String, Metrics> {
    let groups: BTreeSet<&str> = rows.iter().map(&group).collect();
    groups.into_iter().map(|name| (name.to_owned(), metrics(rows, |row| group(row) == name, seed))).collect()
}

fn metrics<'a>(rows: &'a [CaseResult], keep: impl Fn(&'a CaseResult) -> bool, seed: u64) -> Metrics {
    let kept: Vec<&CaseResult> = rows.iter().filter(|row| keep(row)).collect();
    let estimate = |metric: Metric| {
        let means = case_means(kept.iter().copied(), metric);
        let values = means.iter().map(|mean| (mean.cluster, mean.value));
        Some((metric, Clustered::new(values, metric.scale()).ok()?.estimate(seed)?))
    };
    Metric::ALL.into_iter().filter_map(estimate).collect()
}

/// One value of `metric` per case, repeats averaged; cases without a score are left out.
pub fn case_means<'a>(rows: impl IntoIterator<Item = &'a CaseResult>, metric: Metric) -> Vec<CaseMean<'a>> {
    let scored = rows
        .into_iter()
        .filter_map(|row| Some((row.cluster.as_str(), row.answer.case.as_str(), row.scores.get(&metric).copied()?)));
    average_repeats(scored)
}
