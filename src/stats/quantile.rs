//! Quantiles of latencies and token counts, with intervals from ranks: no shape is assumed, and a p95 of too few
//! values says so by having no upper limit.

use serde::{Deserialize, Serialize};

use super::cluster::{Clustered, standard_error};
use super::resample::sorted_quantile;
use super::special::binomial_cdf;
use super::{ALPHA, FEWEST_CLUSTERS, Scale, StatsError, check};

/// A quantile and the values between which the population's lies with at least 95 % probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantileEstimate {
    /// Which one, from 0 to 1.
    pub q: f64,
    /// The sample's, by linear interpolation.
    pub value: f64,
    /// Lower limit, one of the values; `None` where no value is low enough to bound it.
    pub ci_low: Option<f64>,
    /// Upper limit, one of the values; `None` where no value is high enough to bound it.
    pub ci_high: Option<f64>,
    /// How many values there are.
    pub n: usize,
}

/// The `q` quantile of independent `values` with its interval; `None` without values.
///
/// The value is type 7 of Hyndman & Fan 1996, numpy's default. The limits are the innermost order statistics that miss
/// on each side with probability at most 2.5 %, counted by the binomial distribution: David & Nagaraja 2003, *Order
/// Statistics*, 7.1.
///
/// # Errors
/// A value that is not finite, or a `q` outside 0 to 1.
pub fn quantile(values: &[f64], q: f64) -> Result<Option<QuantileEstimate>, StatsError> {
    let sorted = sorted(values, q)?;
    Ok((!sorted.is_empty()).then(|| with_limits(&sorted, q, sorted.len())))
}

/// The `q` quantile over cases, given as (cluster, value), with an interval that knows how alike a cluster's cases are.
///
/// The ranks are those of as many independent values as these are worth: their number over the design effect, the
/// variance between clusters of the share below the quantile against that of independent values. Woodruff 1952 (JASA
/// 47:635-646) with the effective sample size of Korn & Graubard 1998. No limits below [`FEWEST_CLUSTERS`] clusters.
///
/// # Errors
/// As [`quantile`].
pub fn clustered_quantile<'a>(
    values: impl IntoIterator<Item = (&'a str, f64)>,
    q: f64,
) -> Result<Option<QuantileEstimate>, StatsError> {
    let cases: Vec<_> = values.into_iter().collect();
    let sorted = sorted(&cases.iter().map(|case| case.1).collect::<Vec<_>>(), q)?;
    if sorted.is_empty() {
        return Ok(None);
    }
    let value = sorted_quantile(&sorted, q);
    let below = cases.iter().map(|case| (case.0, f64::from(u8::from(case.1 <= value))));
    let worth = independent_values(&Clustered::new(below, Scale::Unit)?);
    let found = with_limits(&sorted, q, worth);
    let few = worth < FEWEST_CLUSTERS;
    Ok(Some(if few { QuantileEstimate { ci_low: None, ci_high: None, ..found } } else { found }))
}

/// How many independent outcomes the clustered ones are worth: at most all of them, one per cluster where they are all
/// alike, none where the clusters are too few to tell.
fn independent_values(outcomes: &Clustered) -> usize {
    let (clusters, cases) = (outcomes.n_clusters(), outcomes.n_cases());
    let share = outcomes.mean().unwrap_or_default();
    let error = standard_error(&outcomes.parts).filter(|error| clusters >= FEWEST_CLUSTERS && *error > 0.0);
    match error {
        Some(error) => ((share * (1.0 - share) / (error * error)) as usize).min(cases),
        None if clusters < FEWEST_CLUSTERS => 0,
        None => clusters,
    }
}

fn sorted(values: &[f64], q: f64) -> Result<Vec<f64>, StatsError> {
    if !(0.0..=1.0).contains(&q) {
        return Err(StatsError::Parameter { name: "quantile", value: q, expected: "from 0 to 1" });
    }
    values.iter().try_for_each(|value| check("all cases", *value, Scale::Real))?;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(sorted)
}

/// The limits of sorted values that are worth `worth` independent ones.
fn with_limits(sorted: &[f64], q: f64, worth: usize) -> QuantileEstimate {
    // How many values lie below the population's quantile is binomial(n, q). The r-th value lies above it if fewer
    // than r do, and below it if r or more do.
    let low = first_count(worth, |below| binomial_cdf(below, worth, q) > ALPHA / 2.0);
    let high = first_count(worth, |below| binomial_cdf(below, worth, q) >= 1.0 - ALPHA / 2.0) + 1;
    let n = sorted.len();
    // The same share of the way through all the values, rounded outwards.
    let (low, high) = ((low * n).checked_div(worth).unwrap_or(0), (high * n).div_ceil(worth.max(1)));
    QuantileEstimate {
        q,
        value: sorted_quantile(sorted, q),
        ci_low: low.checked_sub(1).map(|at| sorted[at]),
        ci_high: sorted.get(high - 1).copied(),
        n,
    }
}

/// The first count from 0 to `n` at which the condition holds; it holds from there on.
fn first_count(n: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = (low + high) / 2;
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    low
}
