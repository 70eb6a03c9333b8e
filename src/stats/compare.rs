//! Two runs over the same cases: is the second better, worse, as good, or can this dataset not tell?
//!
//! The difference is paired case by case, summed per cluster, tested by flipping the signs of clusters, and bounded by
//! resampling clusters. Who was *a* and who *b* changes the signs of the answer and nothing else.

use serde::{Deserialize, Serialize};

use super::cluster::{Part, effective_clusters, standard_error, total};
use super::estimate::Method;
use super::exact::share_at_most;
use super::power::minimum_detectable_effect;
use super::resample::{Resampled, replicates_for};
pub use super::signflip::Permutation;
use super::signflip::two_sided;
use super::{ALPHA, Direction, FEWEST_CLUSTERS, Scale, StatsError, check};
use crate::threads;

/// Patterns drawn where there are too many to visit: the p-value 0.05 then has a standard error of 0.002.
const FLIPS: usize = 9_999;
/// Differences and limits nearer to zero than this are zero: what rounding leaves of sums that cancel.
pub(super) const ZERO: f64 = 1e-12;

/// One case as two runs scored it, repeats averaged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair<'a> {
    /// The capture that the case was cut from.
    pub cluster: &'a str,
    /// The first run's score.
    pub a: f64,
    /// The second run's score.
    pub b: f64,
}

/// What is declared before two runs are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Which way the metric improves.
    pub direction: Direction,
    /// What values it can take.
    pub scale: Scale,
    /// The largest difference that would not matter, in the metric's unit; 0 if every difference does.
    pub margin: f64,
    /// Seed of the draws, recorded with the result.
    pub seed: u64,
}

/// What may be said about run *b* against run *a*.
///
/// - *equivalent*: the 95 % interval lies inside ±margin: any difference is too small to matter, be it ever so
///   significant. Two one-sided tests at 2.5 % each (Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657-680).
/// - *better*, *worse*: p <= 0.05 **and** the 95 % interval lies on one side of zero. Either alone would be a test at
///   5 %; asking both keeps the two printed numbers from contradicting the word beside them.
/// - *cannot tell*: anything else, and always below [`FEWEST_CLUSTERS`] clusters. Never read it as *no difference*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// *b* is better.
    Better,
    /// *b* is worse.
    Worse,
    /// They differ by less than the declared margin.
    Equivalent,
    /// The data do not decide it.
    CannotTell,
}

impl std::fmt::Display for Conclusion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Equivalent => "equivalent",
            Self::CannotTell => "cannot tell",
        })
    }
}

/// Two runs compared on one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The first run's mean over cases.
    pub a: f64,
    /// The second run's.
    pub b: f64,
    /// `b` - `a`, in the metric's unit; better is positive only where higher is.
    pub delta: f64,
    /// Lower 95 % limit of the difference; `None` where no honest one exists.
    pub ci_low: Option<f64>,
    /// Upper limit; present whenever the lower is.
    pub ci_high: Option<f64>,
    /// Probability of a difference at least this large, either way, between equal runs.
    pub p_value: f64,
    /// The smallest true difference that a comparison like this one finds in about 80 of 100 tries; `None` where unknown.
    pub mde: Option<f64>,
    /// Standard error of the difference; what [`super::power`] plans the next dataset from.
    pub standard_error: Option<f64>,
    /// What may be said.
    pub conclusion: Conclusion,
    /// Cases that both runs have.
    pub n_cases: usize,
    /// Clusters they were cut from.
    pub n_clusters: usize,
    /// Cases that the two runs score differently.
    pub discordant: usize,
    /// Where the interval comes from.
    pub method: Method,
    /// Where the p-value comes from.
    pub permutation: Permutation,
}

/// Compares run *b* with run *a* on the cases that both have.
///
/// # Errors
/// No pairs, a value that is not finite or off its scale, a margin that is negative or not finite.
pub fn compare(pairs: &[Pair<'_>], plan: &Plan) -> Result<Comparison, StatsError> {
    Ok(Paired::new(pairs, plan)?.compare(plan))
}

/// Compares on several metrics, each as [`compare`] does; what they draw alike is drawn once.
///
/// # Errors
/// Of each question as of [`compare`].
pub fn compare_each(questions: &[(Vec<Pair<'_>>, Plan)]) -> Vec<Result<Comparison, StatsError>> {
    let paired = threads::on_two(questions.len(), |at| Paired::new(&questions[at].0, &questions[at].1));
    let asked: Vec<(&Paired, &Plan)> =
        paired.iter().zip(questions).filter_map(|(paired, (_, plan))| Some((paired.as_ref().ok()?, plan))).collect();
    let intervals = intervals(&asked, ALPHA / 2.0);
    let tests = threads::on_two(asked.len(), |at| asked[at].0.test(asked[at].1));
    let compared = asked.iter().zip(intervals).zip(tests);
    let mut compared = compared.map(|(((paired, plan), interval), test)| paired.compared(interval, test, plan));
    let answer = |paired: &Result<Paired, StatsError>| match paired {
        Ok(_) => compared.next().map(Ok),
        Err(error) => Some(Err(error.clone())),
    };
    paired.iter().filter_map(answer).collect()
}

/// The sum of a cluster's differences.
fn difference(cases: &[Pair<'_>]) -> f64 {
    let sum: f64 = cases.iter().map(|case| case.b - case.a).sum();
    if sum.abs() > ZERO { sum } else { 0.0 }
}

/// How much is drawn; tests that compare thousands of times draw less.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draws {
    pub(super) replicates: usize,
    pub(super) flips: usize,
}

/// An interval, if there is one, and where it comes from.
pub(super) type Limits = (Option<(f64, f64)>, Method);

/// The interval of each difference, see [`Paired::interval`].
fn intervals(all: &[(&Paired, &Plan)], tail: f64) -> Vec<Limits> {
    let known: Vec<Option<Limits>> = all.iter().map(|(paired, plan)| paired.without_draws(tail, plan)).collect();
    let open = all.iter().zip(&known).filter(|(_, known)| known.is_none());
    let open: Vec<_> =
        open.map(|((paired, plan), _)| (paired.parts.as_slice(), paired.draws.replicates, plan.seed)).collect();
    let mut drawn = Resampled::ratios(&open).into_iter().map(|resampled| match resampled.percentile(tail) {
        Some(limits) => (Some(limits), Method::PercentileBootstrap),
        None => (None, Method::NoInterval),
    });
    known.into_iter().filter_map(|known| known.or_else(|| drawn.next())).collect()
}

/// The differences by cluster.
pub(super) struct Paired {
    a: f64,
    b: f64,
    pub(super) parts: Vec<Part>,
    n_cases: usize,
    discordant: usize,
    pub(super) draws: Draws,
}

impl Paired {
    pub(super) fn new(pairs: &[Pair<'_>], plan: &Plan) -> Result<Self, StatsError> {
        if !(plan.margin.is_finite() && plan.margin >= 0.0) {
            return Err(StatsError::Parameter { name: "margin", value: plan.margin, expected: "zero or more" });
        }
        if plan.scale == Scale::Unit && plan.margin >= 1.0 {
            let expected = "below 1 for a share (0.05 is 5 percentage points)";
            return Err(StatsError::Parameter { name: "margin", value: plan.margin, expected });
        }
        if pairs.is_empty() {
            return Err(StatsError::Empty);
        }
        for pair in pairs {
            check(pair.cluster, pair.a, plan.scale)?;
            check(pair.cluster, pair.b, plan.scale)?;
        }
        // Sums of floating-point numbers depend on their order; the cases of a run arrive in any.
        let mut sorted = pairs.to_vec();
        sorted.sort_by(|x, y| x.cluster.cmp(y.cluster).then(x.a.total_cmp(&y.a)).then(x.b.total_cmp(&y.b)));
        let mean = |value: fn(&Pair<'_>) -> f64| sorted.iter().map(value).sum::<f64>() / sorted.len() as f64;
        let parts: Vec<_> = sorted
            .chunk_by(|x, y| x.cluster == y.cluster)
            .map(|cases| Part { sum: difference(cases), weight: cases.len() as f64 })
            .collect();
        let draws = Draws { replicates: replicates_for(parts.len()), flips: FLIPS };
        let discordant = sorted.iter().filter(|pair| (pair.b - pair.a).abs() > ZERO).count();
        Ok(Self { a: mean(|pair| pair.a), b: mean(|pair| pair.b), parts, n_cases: sorted.len(), discordant, draws })
    }

    pub(super) fn compare(&self, plan: &Plan) -> Comparison {
        self.compared(self.interval(ALPHA / 2.0, plan), self.test(plan), plan)
    }

    fn test(&self, plan: &Plan) -> (f64, Permutation) {
        let sums: Vec<f64> = self.parts.iter().map(|part| part.sum).collect();
        two_sided(&sums, self.draws.flips, plan.seed)
    }

    fn compared(&self, interval: Limits, test: (f64, Permutation), plan: &Plan) -> Comparison {
        let ((interval, method), (p_value, permutation)) = (interval, test);
        Comparison {
            a: self.a,
            b: self.b,
            delta: self.delta(),
            ci_low: interval.map(|interval| interval.0),
            ci_high: interval.map(|interval| interval.1),
            p_value,
            mde: self.minimum_detectable_effect(plan.scale),
            standard_error: standard_error(&self.parts),
            conclusion: self.conclude(interval, p_value, plan),
            n_cases: self.n_cases,
            n_clusters: self.parts.len(),
            discordant: self.discordant,
            method,
            permutation,
        }
    }

    pub(super) fn delta(&self) -> f64 {
        let all = total(&self.parts);
        all.sum / all.weight
    }

    /// The difference that more than half of the clusters share, which mostly is none; 0 if they share no other.
    ///
    /// Only one can have a majority: the one that is left when unlike ones are struck out in pairs (Boyer & Moore 1991,
    /// *MJRTY: A Fast Majority Vote Algorithm*).
    pub(super) fn usual(&self) -> f64 {
        let differences = || self.parts.iter().map(|part| part.sum / part.weight);
        let strike = |(left, votes): (f64, usize), next: f64| match votes {
            0 => (next, 1),
            _ if left == next => (left, votes + 1),
            _ => (left, votes - 1),
        };
        let (left, _) = differences().fold((0.0, 0), strike);
        let sharing = differences().filter(|difference| *difference == left).count();
        if 2 * sharing > self.parts.len() { left } else { 0.0 }
    }

    /// How many clusters depart from `usual`, and the share of cases that lie in those above and below it.
    pub(super) fn departing(&self, usual: f64) -> (usize, f64, f64) {
        let (mut count, mut above, mut below) = (0, 0.0, 0.0);
        for part in &self.parts {
            let difference = part.sum / part.weight;
            count += usize::from(difference != usual);
            above += if difference > usual { part.weight } else { 0.0 };
            below += if difference < usual { part.weight } else { 0.0 };
        }
        let all = total(&self.parts).weight;
        (count, above / all, below / all)
    }

    /// The interval of the difference that misses on each side with probability `tail`.
    ///
    /// The percentile interval, widened for few clusters, by measurement: over 2,000 worlds each it covers 94 to 97 %
    /// for clustered outcomes of 12 to 120 clusters, where BCa covers 92 to 96 % and bootstrap-t 92 to 95 %, because
    /// differences between like runs are symmetric and both corrections then add noise. With 20 clusters of long-tailed
    /// latencies it covers 93 % (BCa 88 %, bootstrap-t 90 %); with 20 clusters of which a few became much slower 87 %
    /// (BCa 90 %, bootstrap-t 92 %).
    pub(super) fn interval(&self, tail: f64, plan: &Plan) -> Limits {
        intervals(&[(self, plan)], tail).remove(0)
    }

    /// The interval where there is nothing to resample.
    fn without_draws(&self, tail: f64, plan: &Plan) -> Option<Limits> {
        if self.parts.len() < 2 {
            return Some((None, Method::NoInterval));
        }
        let usual = self.usual();
        let (departing, above, below) = self.departing(usual);
        (departing < FEWEST_CLUSTERS).then(|| match plan.scale {
            Scale::Unit => (Some(self.exact_interval(usual, above, below, tail)), Method::Exact),
            Scale::Real => (None, Method::NoInterval),
        })
    }

    /// What the difference can be when too few clusters depart from the usual one to resample them.
    ///
    /// In a metric from 0 to 1 a case above the usual difference adds at most 1 - usual to it, and one below takes at
    /// most 1 + usual. Both shares are bounded by Clopper-Pearson on the effective number of clusters. Around a usual
    /// difference of zero the interval contains zero, as it must where the test cannot reject; without any difference
    /// it is ±(1 - tail^(1/C)).
    fn exact_interval(&self, usual: f64, above: f64, below: f64, tail: f64) -> (f64, f64) {
        let clusters = effective_clusters(&self.parts);
        let most = |share: f64| share_at_most(share * clusters, clusters, tail);
        (usual - most(below) * (1.0 + usual), usual + most(above) * (1.0 - usual))
    }

    /// From the observed variance between clusters; where too few depart to know it, from the largest share that may.
    fn minimum_detectable_effect(&self, scale: Scale) -> Option<f64> {
        let clusters = self.parts.len();
        if clusters < FEWEST_CLUSTERS {
            return None;
        }
        let usual = self.usual();
        let (departing, above, below) = self.departing(usual);
        let error = match scale {
            _ if departing >= FEWEST_CLUSTERS => standard_error(&self.parts)?,
            Scale::Unit => {
                let effective = effective_clusters(&self.parts);
                let share = share_at_most((above + below) * effective, effective, ALPHA);
                (1.0 + usual.abs()) * (share / effective).sqrt()
            }
            Scale::Real => return None,
        };
        // A share cannot differ by more than all of it: then no true difference would be found so often.
        minimum_detectable_effect(error, clusters).filter(|effect| scale == Scale::Real || *effect <= 1.0)
    }

    /// Where a metric without bounds differs alike in nearly all clusters, as tokens do when a prompt grows by a line,
    /// no interval is honest, and the test decides alone: it needs none.
    fn conclude(&self, interval: Option<(f64, f64)>, p_value: f64, plan: &Plan) -> Conclusion {
        if self.parts.len() < FEWEST_CLUSTERS {
            return Conclusion::CannotTell;
        }
        let delta = self.delta();
        let (low, high) = interval.unwrap_or((delta, delta));
        if plan.margin > 0.0 && interval.is_some() && low >= -plan.margin && high <= plan.margin {
            return Conclusion::Equivalent;
        }
        let (rises, falls) = (low > ZERO, high < -ZERO);
        match (p_value <= ALPHA && (rises || falls), rises == (plan.direction == Direction::HigherIsBetter)) {
            (false, _) => Conclusion::CannotTell,
            (true, true) => Conclusion::Better,
            (true, false) => Conclusion::Worse,
        }
    }
}
