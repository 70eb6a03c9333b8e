//! A night: one run of the system held against the pinned baseline, as a difference and as evidence of a change.
//!
//! What the nights together show is [`Drift`]'s business, which stays valid however often it is looked at.

use super::{Refusal, comparable, pairs, plan, same_cases};
use crate::score::Metric;
use crate::stats::drift::{Change, Drift, Night};
use crate::stats::{self, Comparison, Direction, StatsError};
use crate::tally::{Tallied, paired};

/// A run against the baseline, on one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct RunNight {
    /// The paired difference with its interval; its conclusion is this night's alone.
    pub difference: Comparison,
    /// What the night adds to the others.
    pub evidence: Night,
}

impl RunNight {
    /// Compares `run` with `baseline`.
    ///
    /// # Errors
    /// Runs that are not comparable, or a metric whose values are not shares.
    pub fn of(baseline: &Tallied, run: &Tallied, metric: Metric, seed: u64) -> Result<Self, Refusal> {
        comparable(&baseline.record, &run.record)?;
        same_cases(&baseline.tally, &run.tally)?;
        let plan = plan(metric, 0.0, seed);
        let pairs = pairs(&paired(&baseline.tally, &run.tally), metric);
        let night = || {
            let (difference, evidence) = (stats::compare(&pairs, &plan)?, Night::of(&pairs, metric.direction())?);
            Ok(Self { difference, evidence })
        };
        night().map_err(|source: StatsError| Refusal::Stats { metric, source })
    }

    /// What is left of a margin: negative once the loss is larger.
    pub fn headroom(&self, direction: Direction, margin: f64) -> f64 {
        let gain = if direction == Direction::HigherIsBetter { self.difference.delta } else { -self.difference.delta };
        margin + gain
    }
}

/// What stood after each of some nights, in their order; and from which of them on a change is established.
pub fn watched<'n>(nights: impl IntoIterator<Item = &'n RunNight>) -> (Vec<Drift>, Option<(usize, Change)>) {
    let (mut drift, mut history, mut since) = (Drift::default(), Vec::new(), None);
    for night in nights {
        drift.add(night.evidence);
        let index = history.len();
        since = since.or_else(|| Some((index, drift.change()?)));
        history.push(drift);
    }
    (history, since)
}
