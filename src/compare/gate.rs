//! The gate: may a run replace its baseline? A one-sided question with an exit code, and the pins it is asked against.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Refusal, amount, comparable, difference, pairs, plan, same_cases};
use crate::run::Run;
use crate::score::Metric;
use crate::stats::{Gate, GateOutcome, non_inferiority};
use crate::tally::{Tally, paired};

/// A run held against its baseline on one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunGate {
    /// Id of the run that is judged.
    pub run: String,
    /// Id of the reference run.
    pub baseline: String,
    /// What is judged, for people.
    pub run_title: String,
    /// What the reference is, for people.
    pub baseline_title: String,
    /// The metric that decides.
    pub metric: Metric,
    /// The run's mean over cases.
    pub value: f64,
    /// The baseline's.
    pub baseline_value: f64,
    /// Cases that both runs have.
    pub n_cases: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// Difference (run - baseline), bound, margin and outcome.
    #[serde(flatten)]
    pub gate: Gate,
}

/// `gates/<id>.json`: what a gate said, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateRecord {
    /// Layout version of this record, as of runs.
    pub format: u32,
    /// Unique id, sortable by time.
    pub id: String,
    /// When it was asked.
    pub at: DateTime<Utc>,
    /// The name under which the baseline was given, if it is a pinned one.
    pub baseline_name: Option<String>,
    /// Dataset that both runs are over.
    pub dataset: String,
    /// SHA-256 of the run's results.
    pub run_results_sha256: String,
    /// SHA-256 of the baseline's.
    pub baseline_results_sha256: String,
    /// Version of assay that asked.
    pub assay_version: String,
    /// The question and its answer.
    #[serde(flatten)]
    pub result: RunGate,
}

/// `baselines/<name>.json`: a published run, pinned as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// Layout version of this record, as of runs.
    pub format: u32,
    /// Its name.
    pub name: String,
    /// Id of the run.
    pub run: String,
    /// SHA-256 of the run's `results.parquet`.
    pub results_sha256: String,
    /// SHA-256 of the run's `run.json`.
    pub record_sha256: String,
    /// When it was pinned.
    pub set: DateTime<Utc>,
}

impl Baseline {
    /// Whether a word can name a baseline: it becomes a file name.
    pub fn is_name(word: &str) -> bool {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        (1..=64).contains(&word.len()) && !word.starts_with('.') && word.chars().all(fits)
    }
}

/// Asks whether `run` loses at most `margin` against `baseline`, in the metric's unit.
///
/// # Errors
/// Runs that are not comparable, or a metric that cannot be computed.
pub fn gate_runs(baseline: &Run, run: &Run, metric: Metric, margin: f64, seed: u64) -> Result<RunGate, Refusal> {
    comparable(&baseline.record, &run.record)?;
    let (ours, theirs) = (Tally::of(&baseline.results), Tally::of(&run.results));
    same_cases(&ours, &theirs)?;
    let pairs = pairs(&paired(&ours, &theirs), metric);
    let gate =
        non_inferiority(&pairs, &plan(metric, margin, seed)).map_err(|source| Refusal::Stats { metric, source })?;
    let n_cases = pairs.len();
    let mean = |sum: f64| sum / n_cases as f64;
    let baseline_value = mean(pairs.iter().map(|pair| pair.a).sum());
    let value = mean(pairs.iter().map(|pair| pair.b).sum());
    Ok(RunGate {
        run: run.record.plan.id.clone(),
        baseline: baseline.record.plan.id.clone(),
        run_title: run.record.plan.title(),
        baseline_title: baseline.record.plan.title(),
        metric,
        value,
        baseline_value,
        n_cases,
        seed,
        gate,
    })
}

/// The answer in one sentence.
impl fmt::Display for RunGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (run, baseline, gate) = (&self.run_title, &self.baseline_title, &self.gate);
        let margin = amount(self.metric, gate.margin);
        match gate.outcome {
            GateOutcome::NonInferior => write!(f, "[{run}] loses at most {margin} against [{baseline}]")?,
            GateOutcome::Inferior => write!(f, "[{run}] loses more than {margin} against [{baseline}]")?,
            GateOutcome::CannotTell => {
                write!(f, "the data leave open whether [{run}] loses more than {margin} against [{baseline}]")?;
            }
        }
        let bound = gate.bound.map_or_else(
            || "no honest bound".to_owned(),
            |bound| format!("at worst {} at 95 %", difference(self.metric, bound)),
        );
        let delta = difference(self.metric, gate.delta);
        write!(f, ": {} {delta} ({bound}, {} cases in {} clusters)", self.metric, self.n_cases, gate.n_clusters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_baselines_are_file_names() {
        for (word, fits) in [("main", true), ("q8_0-2026.11", true), ("", false), (".x", false), ("a/b", false)] {
            assert_eq!(Baseline::is_name(word), fits, "{word}");
        }
    }
}
