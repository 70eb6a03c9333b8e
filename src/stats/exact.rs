//! Intervals for a share that hold where the bootstrap has nothing to resample: Wilson, Clopper-Pearson, Korn-Graubard.

use super::special::{beta_quantile, normal_quantile};

/// Wilson's score interval for `successes` of `n` independent trials. Wilson 1927, JASA 22:209-212.
pub(super) fn wilson(successes: f64, n: f64, alpha: f64) -> (f64, f64) {
    let z = normal_quantile(1.0 - alpha / 2.0);
    let (p, z2) = (successes / n, z * z);
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt() / (1.0 + z2 / n);
    // Rounding must not move a bound off the end that it stands on.
    (if successes <= 0.0 { 0.0 } else { centre - half }, if successes >= n { 1.0 } else { centre + half })
}

/// The lowest share under which `successes` or more of `n` still has probability `alpha`.
/// Clopper & Pearson 1934, Biometrika 26:404-413, as the beta quantile that it is.
///
/// Neither number need be whole: with an effective sample size this is Korn & Graubard 1998, Survey Methodology
/// 24:193-201, the usual interval for a share in a clustered sample when successes are few.
pub(super) fn share_at_least(successes: f64, n: f64, alpha: f64) -> f64 {
    if successes <= 0.0 { 0.0 } else { beta_quantile(alpha, successes, n - successes + 1.0) }
}

/// The highest share under which `successes` or fewer of `n` still has probability `alpha`; source as
/// [`share_at_least`]. For no successes: 1 - alpha^(1/n), at 95 % roughly 3/n.
pub(super) fn share_at_most(successes: f64, n: f64, alpha: f64) -> f64 {
    if successes >= n { 1.0 } else { beta_quantile(1.0 - alpha, successes + 1.0, n - successes) }
}
