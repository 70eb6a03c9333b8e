//! Values per case, gathered into the clusters that the cases were cut from.

use super::{Scale, StatsError, check};

/// The mean of one case's repeats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CaseMean<'a> {
    /// The capture that the case was cut from.
    pub cluster: &'a str,
    /// The case's id.
    pub case: &'a str,
    /// The mean over its repeats.
    pub value: f64,
}

/// Averages the repeats of each case, given as (cluster, case, value); the result is ordered by cluster and case.
pub fn average_repeats<'a>(values: impl IntoIterator<Item = (&'a str, &'a str, f64)>) -> Vec<CaseMean<'a>> {
    let mut rows: Vec<_> = values.into_iter().collect();
    rows.sort_by(|x, y| (x.0, x.1).cmp(&(y.0, y.1)).then(x.2.total_cmp(&y.2)));
    rows.chunk_by(|x, y| (x.0, x.1) == (y.0, y.1))
        .map(|repeats| CaseMean {
            cluster: repeats[0].0,
            case: repeats[0].1,
            value: repeats.iter().map(|row| row.2).sum::<f64>() / repeats.len() as f64,
        })
        .collect()
}

/// One cluster's part in a ratio of sums: for a mean the sum of its cases and how many they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Part {
    pub(super) sum: f64,
    pub(super) weight: f64,
}

/// The values of one metric over a run, by cluster; the same in whatever order they were given.
#[derive(Debug, Clone, PartialEq)]
pub struct Clustered {
    pub(super) scale: Scale,
    pub(super) parts: Vec<Part>,
    pub(super) n_cases: usize,
    /// Every value is 0 or 1.
    pub(super) binary: bool,
}

impl Clustered {
    /// Gathers one value per case, given as (cluster, value).
    ///
    /// # Errors
    /// A value that is not finite, or outside 0 to 1 under [`Scale::Unit`].
    pub fn new<'a>(values: impl IntoIterator<Item = (&'a str, f64)>, scale: Scale) -> Result<Self, StatsError> {
        let mut rows: Vec<_> = values.into_iter().collect();
        rows.iter().try_for_each(|row| check(row.0, row.1, scale))?;
        // Sums of floating-point numbers depend on their order; a run's cases arrive in any.
        rows.sort_unstable_by(|x, y| x.0.cmp(y.0).then(x.1.total_cmp(&y.1)));
        let parts = rows
            .chunk_by(|x, y| x.0 == y.0)
            .map(|cases| Part { sum: cases.iter().map(|case| case.1).sum(), weight: cases.len() as f64 })
            .collect();
        let binary = rows.iter().all(|row| row.1 == 0.0 || row.1 == 1.0);
        Ok(Self { scale, parts, n_cases: rows.len(), binary })
    }

    /// Gathers counts for a ratio of sums between 0 and 1, given as (cluster, numerator, denominator).
    ///
    /// This is how micro-averaged F1 gets its interval: 2 TP over 2 TP + FP + FN, per case.
    ///
    /// # Errors
    /// A number that is not finite or negative, or a numerator above its denominator.
    pub fn ratio<'a>(counts: impl IntoIterator<Item = (&'a str, f64, f64)>) -> Result<Self, StatsError> {
        let mut rows: Vec<_> = counts.into_iter().collect();
        for &(cluster, above, below) in &rows {
            check(cluster, above, Scale::Real)?;
            check(cluster, below, Scale::Real)?;
            if above < 0.0 || below < above {
                return Err(StatsError::OutsideUnit { cluster: cluster.to_owned(), value: above / below });
            }
        }
        rows.sort_unstable_by(|x, y| x.0.cmp(y.0).then(x.1.total_cmp(&y.1)).then(x.2.total_cmp(&y.2)));
        let parts = rows
            .chunk_by(|x, y| x.0 == y.0)
            .map(|cases| Part {
                sum: cases.iter().map(|case| case.1).sum(),
                weight: cases.iter().map(|case| case.2).sum(),
            })
            .collect();
        Ok(Self { scale: Scale::Unit, parts, n_cases: rows.len(), binary: false })
    }

    /// The mean over cases (the ratio of sums); `None` without cases.
    pub fn mean(&self) -> Option<f64> {
        let total = total(&self.parts);
        (total.weight > 0.0).then(|| total.sum / total.weight)
    }

    /// How many cases there are.
    pub fn n_cases(&self) -> usize {
        self.n_cases
    }

    /// How many clusters they were cut from.
    pub fn n_clusters(&self) -> usize {
        self.parts.len()
    }
}

/// The sums over all clusters.
pub(super) fn total(parts: &[Part]) -> Part {
    Part { sum: parts.iter().map(|part| part.sum).sum(), weight: parts.iter().map(|part| part.weight).sum() }
}

/// The number of equally long clusters that would carry as much as these: (Σw)²/Σw². Kish 1965, *Survey Sampling*, 11.7.
pub(super) fn effective_clusters(parts: &[Part]) -> f64 {
    let squares: f64 = parts.iter().map(|part| part.weight * part.weight).sum();
    total(parts).weight.powi(2) / squares
}

/// The standard error of the ratio of sums, clusters being the sampled units; `None` below two clusters.
///
/// sqrt(C/(C-1) Σ (sum - ratio · weight)²) / Σ weight: Cochran 1977, *Sampling Techniques*, 6.13; with weights of one
/// the familiar s/sqrt(n). Miller 2024 (arXiv 2411.00640), equation 4, is the same without C/(C-1).
pub(super) fn standard_error(parts: &[Part]) -> Option<f64> {
    let clusters = parts.len() as f64;
    let all = total(parts);
    let ratio = all.sum / all.weight;
    let squares: f64 = parts.iter().map(|part| (part.sum - ratio * part.weight).powi(2)).sum();
    (parts.len() >= 2).then(|| (squares * clusters / (clusters - 1.0)).sqrt() / all.weight)
}
