//! The cluster bootstrap: whole clusters drawn with replacement, and the interval that its replicates give.
//!
//! Clusters enter as sums and weights, so a replicate costs as much as there are clusters, however many cases.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::FEWEST_CLUSTERS;
use super::cluster::{Part, total};
use super::special::{normal_cdf, normal_quantile, student_quantile};

/// What a generator is for; the same seed gives unrelated draws for different purposes.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Bootstrap = 1,
    SignFlip = 2,
    #[cfg(test)]
    Simulation = 3,
}

/// The generator for `purpose` under the caller's `seed`.
pub(super) fn generator(seed: u64, purpose: Purpose) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8] = purpose as u8;
    ChaCha8Rng::from_seed(key)
}

/// Draws of one of `n` clusters, several from each random word: the fraction that choosing one leaves over chooses the
/// next (Brackett-Rozinsky & Lemire 2024, *Batched Ranged Random Integer Generation*). At least 24 bits are left for the
/// last, so no cluster is favoured by more than one part in sixteen million.
///
/// Not `rand`'s own ranges, whose values may change between releases.
struct Clusters {
    rng: ChaCha8Rng,
    n: u64,
    per_word: u32,
    left: u32,
    word: u64,
}

impl Clusters {
    fn new(n: usize, seed: u64) -> Self {
        let n = n as u64;
        let bits = 64 - n.leading_zeros();
        Self { rng: generator(seed, Purpose::Bootstrap), n, per_word: (40 / bits.max(1)).max(1), left: 0, word: 0 }
    }

    #[inline]
    fn draw(&mut self) -> usize {
        if self.left == 0 {
            self.word = self.rng.next_u64();
            self.left = self.per_word;
        }
        self.left -= 1;
        let chosen = u128::from(self.word) * u128::from(self.n);
        self.word = chosen as u64;
        (chosen >> 64) as usize
    }
}

/// How many replicates to draw: 5,000, and down to 1,000 where there are so many clusters that each one is dear.
///
/// The Monte Carlo error of a 95 % limit is 2 to 4 % of its distance from the estimate then.
pub(super) fn replicates_for(clusters: usize) -> usize {
    (5_000_000 / clusters.max(1)).clamp(1_000, 5_000)
}

/// A statistic with its bootstrap replicates.
pub(super) struct Resampled {
    pub(super) estimate: f64,
    clusters: usize,
    /// In ascending order.
    replicates: Vec<f64>,
}

impl Resampled {
    pub(super) fn new(estimate: f64, clusters: usize, mut replicates: Vec<f64>) -> Self {
        replicates.sort_by(f64::total_cmp);
        Self { estimate, clusters, replicates }
    }

    /// Resamples the ratio of sums over `parts`.
    pub(super) fn ratio(parts: &[Part], replicates: usize, seed: u64) -> Self {
        let mut clusters = Clusters::new(parts.len(), seed);
        let mut replicate = || {
            let (mut sum, mut weight) = (0.0, 0.0);
            for _ in 0..parts.len() {
                let part = parts[clusters.draw()];
                sum += part.sum;
                weight += part.weight;
            }
            sum / weight
        };
        let drawn = (0..replicates).map(|_| replicate()).filter(|value| value.is_finite()).collect();
        let all = total(parts);
        Self::new(all.sum / all.weight, parts.len(), drawn)
    }

    /// Resamples any statistic of the drawn clusters' indices; where it has no value the replicate is left out.
    pub(super) fn any(
        n: usize,
        replicates: usize,
        seed: u64,
        statistic: impl Fn(&[usize]) -> Option<f64>,
    ) -> Option<Self> {
        let estimate = statistic(&(0..n).collect::<Vec<_>>())?;
        let mut clusters = Clusters::new(n, seed);
        let mut drawn = vec![0; n];
        let values = (0..replicates).filter_map(|_| {
            drawn.fill_with(|| clusters.draw());
            statistic(&drawn)
        });
        Some(Self::new(estimate, n, values.collect()))
    }

    /// The quantile of the replicates at the two ends, missing on each side with probability `tail`, widened for few
    /// clusters; `None` where the replicates do not vary or the clusters are too few.
    ///
    /// Efron & Tibshirani 1993, *An Introduction to the Bootstrap*, 13.3; the widening is [`Resampled::normal_limit`].
    pub(super) fn percentile(&self, tail: f64) -> Option<(f64, f64)> {
        let z = self.normal_limit(tail)?;
        Some((self.percentile_limit(-z), self.percentile_limit(z)))
    }

    /// The bias-corrected and accelerated interval, missing on each side with probability `tail`, widened likewise;
    /// `jackknife` holds the statistic without each cluster. `None` as for [`Resampled::percentile`].
    pub(super) fn bca(&self, jackknife: &[f64], tail: f64) -> Option<(f64, f64)> {
        let z = self.normal_limit(tail)?;
        Some((self.bca_limit(jackknife, -z), self.bca_limit(jackknife, z)))
    }

    /// How many standard errors the limits lie out: sqrt(C/(C-1)) times Student's t with C-1 degrees of freedom.
    ///
    /// Replicates spread too little by the first factor and know nothing of the second: Hesterberg 2015 (The American
    /// Statistician 69:371-386), *expanded percentile*. For many clusters it is the normal quantile.
    fn normal_limit(&self, tail: f64) -> Option<f64> {
        // What varies by rounding alone does not vary.
        let (first, last) = (*self.replicates.first()?, *self.replicates.last()?);
        let varies = last - first > 1e-12 * first.abs().max(last.abs());
        let clusters = self.clusters as f64;
        let widening = (clusters / (clusters - 1.0)).sqrt();
        (self.clusters >= FEWEST_CLUSTERS && varies).then(|| -widening * student_quantile(tail, clusters - 1.0))
    }

    /// The limit that lies `z` standard errors out, after correction.
    ///
    /// Efron 1987 (JASA 82:171-185); Efron & Tibshirani 1993, 14.10, the bias with ties counted half.
    pub(super) fn bca_limit(&self, jackknife: &[f64], z: f64) -> f64 {
        let shifted = self.bias() + z;
        let scale = 1.0 - acceleration(jackknife) * shifted;
        // Beyond the pole the limit has run off its end of the replicates.
        let corrected = if scale > 0.0 { self.bias() + shifted / scale } else { f64::INFINITY.copysign(shifted) };
        self.percentile_limit(corrected)
    }

    /// The limit that lies `z` standard errors out, as the replicates have it.
    pub(super) fn percentile_limit(&self, z: f64) -> f64 {
        sorted_quantile(&self.replicates, normal_cdf(z))
    }

    /// z0: how far the estimate lies from the median of its replicates, in normal units.
    fn bias(&self) -> f64 {
        let below = self.replicates.partition_point(|value| *value < self.estimate);
        let not_above = self.replicates.partition_point(|value| *value <= self.estimate);
        let count = self.replicates.len() as f64;
        // An estimate beyond all replicates would send the limit to infinity; the nearest share is half a replicate.
        let share = ((below + not_above) as f64 / (2.0 * count)).clamp(0.5 / count, 1.0 - 0.5 / count);
        normal_quantile(share)
    }
}

/// The ratio of sums without each cluster in turn; where that has no value, it is left out.
pub(super) fn jackknife(parts: &[Part]) -> Vec<f64> {
    let all = total(parts);
    let without = |part: &Part| (all.sum - part.sum) / (all.weight - part.weight);
    parts.iter().map(without).filter(|value| value.is_finite()).collect()
}

/// a: how the standard error changes with the estimate, from the jackknife's skewness; 0 where that is flat.
fn acceleration(jackknife: &[f64]) -> f64 {
    let mean = jackknife.iter().sum::<f64>() / jackknife.len().max(1) as f64;
    let sum_of = |power: i32| jackknife.iter().map(|value| (mean - value).powi(power)).sum::<f64>();
    let squares = sum_of(2);
    if squares > 0.0 { sum_of(3) / (6.0 * squares * squares.sqrt()) } else { 0.0 }
}

/// The quantile of sorted values by linear interpolation: type 7 of Hyndman & Fan 1996 (The American Statistician
/// 50:361-365), what numpy does. `values` must not be empty.
pub(super) fn sorted_quantile(values: &[f64], p: f64) -> f64 {
    let position = p.clamp(0.0, 1.0) * (values.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(values.len() - 1);
    values[below] + (position - below as f64) * (values[above] - values[below])
}
