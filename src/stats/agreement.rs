//! Agreement between two labellings of the same cases: two passes over the golden set, or truth and verdict.

use super::estimate::{Estimate, Method};
use super::resample::Resampled;
use super::{ALPHA, StatsError};

/// Each replicate counts a matrix anew, so there are fewer than for a mean.
const REPLICATES: usize = 2_000;

/// What a disagreement costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    /// The same whatever the labels: Cohen 1960, Educational and Psychological Measurement 20:37-46.
    Equal,
    /// The square of the distance between the labels, which must be in order, as severities are: Cohen 1968,
    /// Psychological Bulletin 70:213-220.
    Quadratic,
}

/// One case as two raters labelled it, by index of the label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rating<'a> {
    /// The capture that the case was cut from.
    pub cluster: &'a str,
    /// The first rater's label, or the truth.
    pub truth: usize,
    /// The second rater's, or the verdict.
    pub predicted: usize,
}

/// How often each label was taken for each other one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    labels: usize,
    counts: Vec<u64>,
}

impl Confusion {
    /// An empty matrix over `labels` labels.
    pub fn new(labels: usize) -> Self {
        Self { labels, counts: vec![0; labels * labels] }
    }

    /// Counts one case.
    ///
    /// # Errors
    /// A label that the matrix does not have.
    pub fn record(&mut self, truth: usize, predicted: usize) -> Result<(), StatsError> {
        let index = truth.max(predicted);
        if index >= self.labels {
            return Err(StatsError::UnknownLabel { index, labels: self.labels });
        }
        self.counts[truth * self.labels + predicted] += 1;
        Ok(())
    }

    /// The matrix without some of its cases.
    fn without(&self, cases: &Self) -> Self {
        let counts = self.counts.iter().zip(&cases.counts).map(|(all, some)| all.saturating_sub(*some)).collect();
        Self { labels: self.labels, counts }
    }

    /// How many labels there are.
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// How many cases with this truth got this label; 0 for labels that the matrix does not have.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        if truth.max(predicted) < self.labels { self.counts[truth * self.labels + predicted] } else { 0 }
    }

    /// How many cases were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The share of cases on the diagonal; `None` without cases.
    pub fn accuracy(&self) -> Option<f64> {
        let right: u64 = (0..self.labels).map(|label| self.count(label, label)).sum();
        (self.total() > 0).then(|| right as f64 / self.total() as f64)
    }

    /// Agreement beyond chance: 1 is perfect, 0 what the marginals alone would give.
    ///
    /// 1 - Σ w·observed / Σ w·expected. `None` where nothing can be told from chance: without cases, or where the truth
    /// is the same label throughout. Kappa is 0 then whatever was predicted, and says nothing about it.
    pub fn kappa(&self, weights: Weights) -> Option<f64> {
        let rows = self.marginal(|matrix, label, other| matrix.count(label, other));
        let columns = self.marginal(|matrix, label, other| matrix.count(other, label));
        let total = self.total() as f64;
        let (mut observed, mut expected) = (0.0, 0.0);
        for (truth, row) in rows.iter().enumerate() {
            for (predicted, column) in columns.iter().enumerate() {
                let weight = weights.of(truth, predicted);
                observed += weight * self.count(truth, predicted) as f64;
                expected += weight * row * column / total;
            }
        }
        let varies = rows.iter().filter(|row| **row > 0.0).count() > 1;
        (varies && expected > 0.0).then(|| 1.0 - observed / expected)
    }

    fn marginal(&self, cell: impl Fn(&Self, usize, usize) -> u64) -> Vec<f64> {
        (0..self.labels)
            .map(|label| (0..self.labels).map(|other| cell(self, label, other)).sum::<u64>() as f64)
            .collect()
    }
}

impl Weights {
    fn of(self, truth: usize, predicted: usize) -> f64 {
        let distance = truth.abs_diff(predicted) as f64;
        if self == Self::Quadratic { distance * distance } else { distance.min(1.0) }
    }
}

/// Kappa over all cases with its cluster-bootstrap interval; `None` where kappa has no value.
///
/// Full agreement leaves nothing to resample: it has no interval.
///
/// # Errors
/// A label that is not below `labels`.
pub fn kappa(
    ratings: &[Rating<'_>],
    labels: usize,
    weights: Weights,
    seed: u64,
) -> Result<Option<Estimate>, StatsError> {
    let mut sorted = ratings.to_vec();
    sorted.sort_unstable_by_key(|rating| (rating.cluster, rating.truth, rating.predicted));
    let clusters: Vec<&[Rating<'_>]> = sorted.chunk_by(|x, y| x.cluster == y.cluster).collect();
    let matrix = |drawn: &[usize]| -> Result<Confusion, StatsError> {
        let mut matrix = Confusion::new(labels);
        for rating in drawn.iter().flat_map(|at| clusters[*at]) {
            matrix.record(rating.truth, rating.predicted)?;
        }
        Ok(matrix)
    };
    let everyone: Vec<usize> = (0..clusters.len()).collect();
    let all = matrix(&everyone)?;
    let statistic = |drawn: &[usize]| matrix(drawn).ok()?.kappa(weights);
    let Some(resampled) = Resampled::any(clusters.len(), REPLICATES, seed, statistic) else {
        return Ok(None);
    };
    let without = |gone: &usize| all.without(&matrix(&[*gone]).ok()?).kappa(weights);
    let jackknife: Vec<f64> = everyone.iter().filter_map(without).collect();
    let interval = resampled.bca(&jackknife, ALPHA / 2.0);
    Ok(Some(Estimate {
        value: resampled.estimate,
        ci_low: interval.map(|interval| interval.0),
        ci_high: interval.map(|interval| interval.1),
        n_cases: ratings.len(),
        n_clusters: clusters.len(),
        method: if interval.is_some() { Method::BcaBootstrap } else { Method::NoInterval },
    }))
}
