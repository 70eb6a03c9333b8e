//! How small a difference a dataset can show, and how large a dataset a difference needs.
//!
//! `spread` is the standard deviation between clusters of their paired differences: [`spread`] of what a comparison
//! finds at least, or [`spread_of_discordance`] of a guess at how many clusters will differ.

use super::special::{normal_cdf, normal_quantile, student_quantile};
use super::{ALPHA, FEWEST_CLUSTERS, StatsError};

/// The probability with which a real difference is to be found.
pub const POWER: f64 = 0.8;

/// The largest answer of [`clusters_needed`]; beyond it the question is the wrong one.
const MOST_CLUSTERS: usize = 100_000_000;

/// The standard deviation between clusters behind the [`minimum_detectable_effect`] of a comparison over `clusters`.
///
/// Not of its standard error: where two runs differ in too few clusters to know that, a comparison plans from the most
/// that may differ, and a plan must not promise what the comparison then takes back. `None` below two clusters.
pub fn spread(minimum_detectable_effect: f64, clusters: usize) -> Option<f64> {
    let errors = self::minimum_detectable_effect(1.0, clusters)?;
    Some(minimum_detectable_effect / errors * (clusters as f64).sqrt())
}

/// The standard deviation of a binary metric's paired difference if a `share` of clusters differ, as many up as down.
///
/// Connor 1987, Biometrics 43:207-211, under the null hypothesis.
pub fn spread_of_discordance(share: f64) -> f64 {
    share.max(0.0).sqrt()
}

/// The smallest true difference that `clusters` with this standard error find with probability [`POWER`].
///
/// (t(1-α/2) + t(power)) times the standard error, Student's t with C-1 degrees of freedom: Bloom 1995, Evaluation
/// Review 19:547-556. `None` below two clusters.
pub fn minimum_detectable_effect(standard_error: f64, clusters: usize) -> Option<f64> {
    let df = clusters.checked_sub(1).filter(|df| *df > 0)? as f64;
    Some((student_quantile(1.0 - ALPHA / 2.0, df) + student_quantile(POWER, df)) * standard_error)
}

/// The probability of finding a true difference of `effect` between two runs over `clusters`.
///
/// The normal approximation, two-sided: Chow, Shao & Wang 2008, *Sample Size Calculations in Clinical Research*, 3.1.
/// Under some 30 clusters it promises a little too much; below [`FEWEST_CLUSTERS`] it is 0, for nothing is concluded there.
///
/// # Errors
/// An effect or a spread that is not finite, or a spread that is not positive.
pub fn power(effect: f64, spread: f64, clusters: usize) -> Result<f64, StatsError> {
    parameter("effect", effect, effect.is_finite(), "a finite number")?;
    parameter("spread", spread, spread.is_finite() && spread > 0.0, "positive")?;
    if clusters < FEWEST_CLUSTERS {
        return Ok(0.0);
    }
    let (z, shift) = (normal_quantile(1.0 - ALPHA / 2.0), effect / spread * (clusters as f64).sqrt());
    Ok(normal_cdf(shift - z) + normal_cdf(-shift - z))
}

/// The fewest clusters over which a true difference of `effect` is found with probability [`POWER`].
///
/// ((z(1-α/2) + z(power)) · spread / effect)², as Miller 2024 (arXiv 2411.00640), equation 9; at least [`FEWEST_CLUSTERS`].
///
/// # Errors
/// An effect of zero, a spread that is not positive, or an effect that a hundred million clusters would not show.
pub fn clusters_needed(effect: f64, spread: f64) -> Result<usize, StatsError> {
    parameter("effect", effect, effect.is_finite() && effect != 0.0, "finite and not zero")?;
    parameter("spread", spread, spread.is_finite() && spread > 0.0, "positive")?;
    let ratio = (normal_quantile(1.0 - ALPHA / 2.0) + normal_quantile(POWER)) * spread / effect;
    let clusters = (ratio * ratio).ceil();
    parameter("effect", effect, clusters <= MOST_CLUSTERS as f64, "large enough to be found")?;
    Ok((clusters as usize).max(FEWEST_CLUSTERS))
}

fn parameter(name: &'static str, value: f64, fits: bool, expected: &'static str) -> Result<(), StatsError> {
    if fits { Ok(()) } else { Err(StatsError::Parameter { name, value, expected }) }
}
