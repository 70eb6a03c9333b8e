//! A one-sided question with a margin: may the second run replace the first?
//!
//! What two like runs differ by is symmetric; what a gate must find is not. A change that makes a tenth of the captures
//! much slower shows in few of them, and a percentile bound then lets through what it should stop three times as often
//! as it says. Values without bounds are therefore judged by the bootstrap-t, whose error follows the skewness.

use serde::{Deserialize, Serialize};

use super::cluster::standard_error;
use super::compare::{Limits, Pair, Paired, Plan, ZERO};
use super::estimate::Method;
use super::resample::{pivots, sorted_quantile};
use super::{ALPHA, Direction, FEWEST_CLUSTERS, Scale, StatsError};

/// A one-sided answer for a gate: may *b* replace *a*?
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// `b` - `a`, in the metric's unit.
    pub delta: f64,
    /// The worst difference that the data leave possible at 95 %, one-sided; `None` where no honest one exists.
    pub bound: Option<f64>,
    /// The loss that would still be accepted.
    pub margin: f64,
    /// Whether the bound stays within it.
    pub outcome: GateOutcome,
    /// Clusters behind the answer.
    pub n_clusters: usize,
    /// Where the bound comes from.
    pub method: Method,
}

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateOutcome {
    /// Any loss is smaller than the margin.
    NonInferior,
    /// The loss is larger than the margin, at the same confidence.
    Inferior,
    /// The data do not decide it; a gate does not open on that.
    CannotTell,
}

/// Asks whether *b* loses at most `plan.margin` against *a*: the one-sided 95 % bound against the margin.
///
/// CPMP 2000, *Points to consider on switching between superiority and non-inferiority*, IV.2. How often a loss of
/// exactly the margin is let through, nominally in 5 of 100 worlds (2,000 worlds each, 40 and 86 clusters): shares 4
/// to 6; log-normal latencies 8 and 9; a tenth of the clusters slower by an exponential second 10 and 5, where the
/// percentile bound errs 22 and 16 times. What shows in fewer than three of 100 captures can hide from any of them: with
/// 3 % slower by five seconds on average it is 35 and 14.
///
/// # Errors
/// No pairs, a value that is not finite or off its scale, a margin that is negative or not finite.
pub fn non_inferiority(pairs: &[Pair<'_>], plan: &Plan) -> Result<Gate, StatsError> {
    Ok(Paired::new(pairs, plan)?.gate(plan))
}

impl Paired {
    pub(super) fn gate(&self, plan: &Plan) -> Gate {
        let (interval, method) = self.limits(plan);
        let (bound, outcome) = match (interval, plan.direction) {
            (None, _) => (None, GateOutcome::CannotTell),
            (Some((low, high)), Direction::HigherIsBetter) => (Some(low), outcome(-low, -high, plan.margin)),
            (Some((low, high)), Direction::LowerIsBetter) => (Some(high), outcome(high, low, plan.margin)),
        };
        Gate { delta: self.delta(), bound, margin: plan.margin, outcome, n_clusters: self.parts.len(), method }
    }

    /// Limits that each miss with probability [`ALPHA`].
    fn limits(&self, plan: &Plan) -> Limits {
        if self.parts.len() < FEWEST_CLUSTERS {
            return (None, Method::NoInterval);
        }
        if plan.scale == Scale::Unit {
            return self.interval(ALPHA, plan);
        }
        if self.departing(self.usual()).0 < FEWEST_CLUSTERS {
            return (Some(self.extremes()), Method::Extremes);
        }
        match self.bootstrap_t(plan.seed) {
            Some(limits) => (Some(limits), Method::BootstrapT),
            None => (None, Method::NoInterval),
        }
    }

    /// The smallest and the largest difference of a cluster: between runs that differ almost nowhere there is nothing to
    /// resample, and whoever lost nothing more than the margin anywhere has lost no more in the mean.
    fn extremes(&self) -> (f64, f64) {
        let differences = self.parts.iter().map(|part| part.sum / part.weight);
        differences.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
    }

    /// Efron & Tibshirani 1993, *An Introduction to the Bootstrap*, 12.5: the estimate minus a quantile of the pivots
    /// times its standard error. `None` where a limit is not finite: too many draws showed no spread.
    fn bootstrap_t(&self, seed: u64) -> Option<(f64, f64)> {
        let error = standard_error(&self.parts)?;
        let pivots = pivots(&self.parts, self.draws.replicates, seed);
        let limit = |p: f64| self.delta() - sorted_quantile(&pivots, p) * error;
        let limits = (limit(1.0 - ALPHA), limit(ALPHA));
        (limits.0.is_finite() && limits.1.is_finite()).then_some(limits)
    }
}

fn outcome(largest_loss: f64, smallest_loss: f64, margin: f64) -> GateOutcome {
    if largest_loss <= margin + ZERO {
        GateOutcome::NonInferior
    } else if smallest_loss > margin {
        GateOutcome::Inferior
    } else {
        GateOutcome::CannotTell
    }
}
