//! Has the system changed since the baseline was pinned? Asked every night, without the alarm that asking so often
//! would raise by itself.
//!
//! Each night bets on tonight's paired differences from the baseline: Π(1 + λd) over clusters, averaged over several
//! stakes λ. If nothing changed each difference has mean zero and the product has mean one, whatever the cases are
//! like: it is an *e-value*, evidence of 20 being as rare as p = 0.05. Waudby-Smith & Ramdas 2024 (J. R. Stat. Soc. B
//! 86:1-27), section 4, without the need to predict stakes, because they are averaged.
//!
//! Nights share one baseline. Where it was lucky, every night looks worse, so multiplying their e-values, as a
//! sequential test of independent data would, raises false alarms; the simulation in the tests shows how many. Their
//! *weighted sum* keeps mean one under any dependence (Vovk & Wang 2021, Annals of Statistics 49:1736-1754, section 3)
//! and, with weights that add up to one over all nights to come, only ever grows; so by Markov's inequality it exceeds
//! 1/α at any time, ever, with probability at most α. The weights fall by half in 34 nights.
//!
//! The price is that small changes are found late or not at all. Three things help: a baseline pinned afresh with each
//! release, a baseline of several repeats, and nights averaged over the last week: all leave the mean at zero.

use libm::{exp, log};
use serde::{Deserialize, Serialize};

use super::compare::{Pair, Paired, Plan};
use super::{ALPHA, Direction, Scale, StatsError};

/// Shares of the stake that are bet on a change; each night's evidence is the mean over them.
const STAKES: [f64; 6] = [0.15, 0.3, 0.45, 0.6, 0.75, 0.9];

/// What each night's weight is of the one before.
const FADING: f64 = 0.98;

/// Natural logarithm of the most evidence that one night may bring.
const MOST_LOG_EVIDENCE: f64 = 600.0;

/// What one night shows, without the others: the evidence that nothing but luck would rarely give.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Night {
    /// That the system is worse than the baseline.
    pub worse: f64,
    /// That it is better.
    pub better: f64,
}

impl Night {
    /// Bets on one night: `a` is the pinned baseline, `b` tonight's run.
    ///
    /// # Errors
    /// No pairs, or a value outside 0 to 1: bets need bounded differences.
    pub fn of(pairs: &[Pair<'_>], direction: Direction) -> Result<Self, StatsError> {
        let plan = Plan { direction, scale: Scale::Unit, margin: 0.0, seed: 0 };
        let paired = Paired::new(pairs, &plan)?;
        let longest = paired.parts.iter().map(|part| part.weight).fold(0.0, f64::max);
        let upward = if direction == Direction::HigherIsBetter { 1.0 } else { -1.0 };
        let gains: Vec<f64> = paired.parts.iter().map(|part| upward * part.sum / longest).collect();
        Ok(Self { worse: evidence(&gains, -1.0), better: evidence(&gains, 1.0) })
    }
}

/// Evidence that establishes a change: 1/α, twice, because two directions are watched.
pub const ENOUGH: f64 = 2.0 / ALPHA;

/// What the nights so far have shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Nights observed.
    pub nights: u32,
    /// Evidence that the system became worse than the baseline.
    pub worse: f64,
    /// Evidence that it became better.
    pub better: f64,
    /// What the next night counts.
    weight: f64,
}

/// Before the first night.
impl Default for Drift {
    fn default() -> Self {
        Self { nights: 0, worse: 0.0, better: 0.0, weight: 1.0 - FADING }
    }
}

/// A change that the nights have shown at 5 %, both ways and all nights together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// The system became worse.
    Worse,
    /// The system became better: re-pin the baseline.
    Better,
}

impl Drift {
    /// Adds one night: `a` is the pinned baseline, `b` tonight's run.
    ///
    /// # Errors
    /// No pairs, or a value outside 0 to 1: bets need bounded differences.
    pub fn observe(&mut self, pairs: &[Pair<'_>], direction: Direction) -> Result<(), StatsError> {
        self.add(Night::of(pairs, direction)?);
        Ok(())
    }

    /// Adds what a night showed.
    pub fn add(&mut self, night: Night) {
        self.nights += 1;
        self.better += self.weight * night.better;
        self.worse += self.weight * night.worse;
        self.weight *= FADING;
    }

    /// The change that is established, if any; once it is, it stays.
    pub fn change(&self) -> Option<Change> {
        match (self.worse >= ENOUGH, self.better >= ENOUGH) {
            (true, _) => Some(Change::Worse),
            (false, true) => Some(Change::Better),
            (false, false) => None,
        }
    }

    /// A p-value that holds at any time it is read: the chance that evidence, either way, ever gets this far.
    pub fn p_value(&self) -> f64 {
        (2.0 / self.worse.max(self.better)).min(1.0)
    }
}

/// One night's e-value for differences in -1 to 1 lying to the side of `sign`.
pub(super) fn evidence(differences: &[f64], sign: f64) -> f64 {
    let growth = |stake: f64| differences.iter().map(|difference| log(1.0 + sign * stake * difference)).sum::<f64>();
    // Cut where the number would no longer be finite; nobody needs more evidence than that.
    STAKES.iter().map(|stake| exp(growth(*stake).min(MOST_LOG_EVIDENCE))).sum::<f64>() / STAKES.len() as f64
}
