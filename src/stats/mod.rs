//! How far a number can be trusted: intervals, paired comparisons, agreement, power, drift.
//!
//! The unit of everything is the *cluster*, the capture that cases were cut from: its cases share a fault, a program
//! and an hour, so they count as one observation that happens to be long. Repeats of a case are averaged before they
//! arrive ([`average_repeats`]).
//!
//! Refused, on purpose:
//! - a number that is not finite ([`StatsError`] names the cluster): missing is not zero, and not NaN either;
//! - an interval of zero width: data without variation get an exact bound, or none and `None`;
//! - a conclusion that its own interval contradicts ([`Conclusion`] states the rule);
//! - randomness from outside: draws come from ChaCha8 under a seed that the caller records, and functions from `libm`,
//!   so equal input gives equal bits on every machine.
//!
//! Each formula names its source, and `tests/reference/stats/make.py` holds it equal to scipy and statsmodels.
//!
//! # Layout
//! [`cluster`] and [`estimate`] (one run), [`mod@compare`] (two), [`arms`] (more than two), [`drift`] (one every night);
//! [`agreement`], [`mod@quantile`], [`power`], [`multiple`] as their names say; below them `resample`, `signflip`,
//! `inversion`, `exact` and `special` do the arithmetic, on the two `threads` where there is much of it.

mod special;
mod exact;
mod resample;
mod inversion;
mod signflip;
pub mod agreement;
pub mod arms;
pub mod cluster;
pub mod compare;
pub mod drift;
pub mod estimate;
pub mod gate;
pub mod multiple;
pub mod power;
pub mod quantile;

use serde::{Deserialize, Serialize};

pub use agreement::Confusion;
pub use cluster::{CaseMean, Clustered, average_repeats};
pub use compare::{Comparison, Conclusion, Pair, Plan, compare, compare_each};
pub use drift::Drift;
pub use estimate::{Estimate, Method, estimate_each};
pub use gate::{Gate, GateOutcome, non_inferiority};
pub use multiple::holm;
pub use quantile::{QuantileEstimate, clustered_quantile, quantile};

/// The two-sided error rate of every interval and test here: intervals cover 95 %, *better* or *worse* needs p <= 0.05.
pub const ALPHA: f64 = 0.05;

/// The fewest clusters, and the fewest clusters in which two runs differ, from which anything is concluded.
///
/// A sign-flip test of five clusters cannot reach p <= 0.05 (2/2^5 = 0.0625), and a bootstrap of so few repeats the
/// same handful of values; below this number exact bounds stand in, or nothing is said.
pub const FEWEST_CLUSTERS: usize = 6;

/// Which way a metric improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Accuracy, F1, grounding.
    HigherIsBetter,
    /// Latency, tokens, energy.
    LowerIsBetter,
}

/// What values a metric can take; exact bounds exist only where the values are bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// From 0 to 1: outcomes, F1, ROUGE.
    Unit,
    /// Any finite number: seconds, tokens, joules.
    Real,
}

/// Why numbers were refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StatsError {
    /// NaN or an infinity where a measurement belongs.
    #[error(
        "value {value} in cluster `{cluster}` is not a finite number: leave cases without a score out, with the reason"
    )]
    NotFinite {
        /// The cluster that holds it.
        cluster: String,
        /// The value as given.
        value: f64,
    },
    /// A value outside 0 to 1 of a metric that was declared [`Scale::Unit`].
    #[error("value {value} in cluster `{cluster}` lies outside 0 to 1: declare the metric's scale as `real`")]
    OutsideUnit {
        /// The cluster that holds it.
        cluster: String,
        /// The value as given.
        value: f64,
    },
    /// Nothing to compute from.
    #[error("no values: a comparison needs at least one case that both runs have")]
    Empty,
    /// A parameter that has no meaning at this value.
    #[error("{name} is {value}: it must be {expected}")]
    Parameter {
        /// What it is called.
        name: &'static str,
        /// The value as given.
        value: f64,
        /// What would be accepted.
        expected: &'static str,
    },
    /// Rows of a table that differ in length.
    #[error("row {row} has {found} values where the first has {expected}: every arm needs a value in every block")]
    Ragged {
        /// Index of the row.
        row: usize,
        /// Its length.
        found: usize,
        /// The length of the first row.
        expected: usize,
    },
    /// A label that the confusion matrix does not have.
    #[error("label index {index} is out of range: there are {labels} labels")]
    UnknownLabel {
        /// The index as given.
        index: usize,
        /// How many labels there are.
        labels: usize,
    },
}

/// Refuses a value that is not finite, or lies outside its scale.
fn check(cluster: &str, value: f64, scale: Scale) -> Result<(), StatsError> {
    if !value.is_finite() {
        return Err(StatsError::NotFinite { cluster: cluster.to_owned(), value });
    }
    if scale == Scale::Unit && !(0.0..=1.0).contains(&value) {
        return Err(StatsError::OutsideUnit { cluster: cluster.to_owned(), value });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
