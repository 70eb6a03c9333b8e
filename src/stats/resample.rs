//! The cluster bootstrap: whole clusters drawn with replacement, and the interval that its replicates give.
//!
//! Clusters enter as sums and weights, so a replicate costs as much as there are clusters, however many cases. Statistics
//! over equally many clusters share their draws: each comes out as it would alone, and the draws are made once.

use std::collections::BTreeMap;
use std::ops::Range;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::FEWEST_CLUSTERS;
use super::cluster::{Part, total};
use super::special::{normal_cdf, normal_quantile, student_quantile};
use crate::threads;

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
    /// Words that were made and not used, from `next` on.
    ahead: [u8; AHEAD],
    next: usize,
}

/// Bytes of random words that are made at a time.
const AHEAD: usize = 1024;

impl Clusters {
    fn new(n: usize, seed: u64) -> Self {
        let n = n as u64;
        let bits = 64 - n.leading_zeros();
        let (rng, per_word) = (generator(seed, Purpose::Bootstrap), (40 / bits.max(1)).max(1));
        Self { rng, n, per_word, left: 0, word: 0, ahead: [0; AHEAD], next: AHEAD }
    }

    /// As if `draws` had been drawn already.
    fn after(n: usize, seed: u64, draws: usize) -> Self {
        let mut clusters = Self::new(n, seed);
        let per_word = clusters.per_word as usize;
        // The generator counts words of 32 bits.
        clusters.rng.set_word_pos((draws / per_word) as u128 * 2);
        for _ in 0..draws % per_word {
            clusters.draw();
        }
        clusters
    }

    fn next_word(&mut self) -> u64 {
        if self.next == AHEAD {
            self.rng.fill_bytes(&mut self.ahead);
            self.next = 0;
        }
        let word = self.ahead[self.next..].first_chunk().copied().unwrap_or_default();
        self.next += size_of::<u64>();
        u64::from_le_bytes(word)
    }

    #[inline]
    fn draw(&mut self) -> u32 {
        if self.left == 0 {
            self.word = self.next_word();
            self.left = self.per_word;
        }
        self.left -= 1;
        let chosen = u128::from(self.word) * u128::from(self.n);
        self.word = chosen as u64;
        (chosen >> 64) as u32
    }
}

/// How many replicates to draw: 5,000, and down to 1,000 where there are so many clusters that each one is dear.
///
/// The Monte Carlo error of a 95 % limit is 2 to 4 % of its distance from the estimate then.
pub(super) fn replicates_for(clusters: usize) -> usize {
    (5_000_000 / clusters.max(1)).clamp(1_000, 5_000)
}

/// Columns of numbers that are added up side by side.
const LANES: usize = 8;
/// Replicates that are added up side by side: a sum waits for its last addition, and two do not wait for each other.
const PAIR: usize = 2;
/// A number of each column for every cluster, each cluster's in one line of the processor's cache.
type Lanes = Vec<Line>;

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([f64; LANES]);

/// Draws that a thread makes at a time.
const STRETCH: usize = 1 << 18;

/// One number of each cluster.
#[derive(Clone, Copy)]
struct Column<'p> {
    parts: &'p [Part],
    number: fn(&Part) -> f64,
}

impl Column<'_> {
    fn at(&self, cluster: usize) -> f64 {
        (self.number)(&self.parts[cluster])
    }

    fn is_same(&self, other: &Self) -> bool {
        let numbers = |column: &Self| column.parts.iter().map(column.number);
        numbers(self).eq(numbers(other))
    }
}

/// Numbers per cluster, to be summed over draws.
#[derive(Default)]
struct Columns<'p>(Vec<Column<'p>>);

impl<'p> Columns<'p> {
    /// The place of a column, which is added unless it is there.
    fn place(&mut self, parts: &'p [Part], number: fn(&Part) -> f64) -> usize {
        let column = Column { parts, number };
        // Weights are mostly the same in all statistics.
        let known = self.0.iter().position(|known| known.is_same(&column));
        known.unwrap_or_else(|| {
            self.0.push(column);
            self.0.len() - 1
        })
    }

    /// The sum of each column over the clusters of each replicate.
    fn sums(&self, replicates: usize, seed: u64) -> Vec<Vec<[f64; LANES]>> {
        let n = self.0.first().map_or(0, |column| column.parts.len());
        let lanes: Vec<Lanes> = self.0.chunks(LANES).map(|columns| interleaved(columns, n)).collect();
        let each = (STRETCH / n.max(1)).clamp(1, replicates.max(1));
        let stretch = |at: usize| sums_of(&lanes, n, at * each..((at + 1) * each).min(replicates), seed);
        threads::on_two(replicates.div_ceil(each), stretch).into_iter().flatten().collect()
    }
}

fn interleaved(columns: &[Column<'_>], n: usize) -> Lanes {
    let number = |lane: usize, cluster: usize| columns.get(lane).map_or(0.0, |column| column.at(cluster));
    (0..n).map(|cluster| Line(std::array::from_fn(|lane| number(lane, cluster)))).collect()
}

/// The sums of some of the replicates. Each is added up in the order of its draws, so that it matters to no bit of it
/// what else is added up beside it, or on which thread.
fn sums_of(lanes: &[Lanes], n: usize, replicates: Range<usize>, seed: u64) -> Vec<Vec<[f64; LANES]>> {
    let mut clusters = Clusters::after(n, seed, replicates.start * n);
    let mut drawn = vec![[0; PAIR]; n];
    let mut sums = Vec::with_capacity(replicates.len() + 1);
    for _ in (0..replicates.len()).step_by(PAIR) {
        for replicate in 0..PAIR {
            drawn.iter_mut().for_each(|pair| pair[replicate] = clusters.draw());
        }
        let (mut first, mut second) = (Vec::with_capacity(lanes.len()), Vec::with_capacity(lanes.len()));
        for [one, other] in lanes.iter().map(|lanes| sums_over(lanes, &drawn)) {
            first.push(one);
            second.push(other);
        }
        sums.extend([first, second]);
    }
    sums.truncate(replicates.len());
    sums
}

/// By itself, because between what draws there are not enough registers for the sums.
#[inline(never)]
fn sums_over(lanes: &Lanes, drawn: &[[u32; PAIR]]) -> [[f64; LANES]; PAIR] {
    let none = ([0.0; LANES], [0.0; LANES]);
    let (one, other) = drawn.iter().fold(none, |(one, other), [first, second]| {
        (plus(one, lanes[*first as usize]), plus(other, lanes[*second as usize]))
    });
    [one, other]
}

#[inline]
fn plus(sums: [f64; LANES], Line(numbers): Line) -> [f64; LANES] {
    std::array::from_fn(|lane| sums[lane] + numbers[lane])
}

/// Resamples ratios over equally many clusters.
fn ratios_of(all: &[&[Part]], replicates: usize, seed: u64) -> Vec<Resampled> {
    let mut columns = Columns::default();
    let places: Vec<(usize, usize)> = all
        .iter()
        .map(|parts| (columns.place(parts, |part| part.sum), columns.place(parts, |part| part.weight)))
        .collect();
    let sums = columns.sums(replicates, seed);
    let of = |replicate: &[[f64; LANES]], place: usize| replicate[place / LANES][place % LANES];
    let resampled = |at: usize| {
        let (parts, (sum, weight)) = (all[at], places[at]);
        let drawn = sums.iter().map(|replicate| of(replicate, sum) / of(replicate, weight));
        let all = total(parts);
        Resampled::new(all.sum / all.weight, parts.len(), drawn.filter(|value| value.is_finite()).collect())
    };
    threads::on_two(all.len(), resampled)
}

/// How far each replicate of the ratio of sums lies from it, in the replicate's own standard errors; in ascending order.
///
/// A replicate that drew no spread lies infinitely far out on its side.
pub(super) fn pivots(parts: &[Part], replicates: usize, seed: u64) -> Vec<f64> {
    let all = total(parts);
    let (estimate, clusters) = (all.sum / all.weight, parts.len() as f64);
    // Around the estimate, so that squares of large values do not cancel.
    let centred: Vec<Part> =
        parts.iter().map(|part| Part { sum: part.sum - estimate * part.weight, weight: part.weight }).collect();
    let mut columns = Columns::default();
    let mut place = |number: fn(&Part) -> f64| columns.place(&centred, number);
    let places = [
        place(|part| part.sum),
        place(|part| part.weight),
        place(|part| part.sum * part.sum),
        place(|part| part.sum * part.weight),
        place(|part| part.weight * part.weight),
    ];
    let pivot = |replicate: &Vec<[f64; LANES]>| {
        let [sum, weight, sum_sum, sum_weight, weight_weight] = places.map(|at| replicate[at / LANES][at % LANES]);
        let away = sum / weight;
        // The squares of `cluster::standard_error`, multiplied out.
        let squares = (sum_sum - 2.0 * away * sum_weight + away * away * weight_weight).max(0.0);
        away / ((squares * clusters / (clusters - 1.0)).sqrt() / weight)
    };
    let mut pivots: Vec<f64> = columns.sums(replicates, seed).iter().map(pivot).filter(|t| !t.is_nan()).collect();
    pivots.sort_by(f64::total_cmp);
    pivots
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

    /// Resamples the ratio of sums over each of `all`, with so many replicates under that seed.
    pub(super) fn ratios(all: &[(&[Part], usize, u64)]) -> Vec<Self> {
        let mut alike: BTreeMap<(usize, usize, u64), Vec<usize>> = BTreeMap::new();
        for (at, (parts, replicates, seed)) in all.iter().enumerate() {
            alike.entry((parts.len(), *replicates, *seed)).or_default().push(at);
        }
        let mut found: Vec<(usize, Self)> = Vec::with_capacity(all.len());
        for ((_, replicates, seed), members) in alike {
            let parts: Vec<&[Part]> = members.iter().map(|at| all[*at].0).collect();
            found.extend(members.into_iter().zip(ratios_of(&parts, replicates, seed)));
        }
        found.sort_by_key(|(at, _)| *at);
        found.into_iter().map(|(_, resampled)| resampled).collect()
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
            drawn.fill_with(|| clusters.draw() as usize);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// One replicate after the other, as the text books have it.
    fn plain(parts: &[Part], replicates: usize, seed: u64) -> Vec<f64> {
        let mut clusters = Clusters::new(parts.len(), seed);
        let mut replicate = || {
            let drawn = (0..parts.len()).map(|_| parts[clusters.draw() as usize]);
            let all = drawn.fold((0.0, 0.0), |all, part| (all.0 + part.sum, all.1 + part.weight));
            all.0 / all.1
        };
        let mut drawn: Vec<f64> = (0..replicates).map(|_| replicate()).collect();
        drawn.sort_by(f64::total_cmp);
        drawn
    }

    #[test]
    fn shared_draws_on_two_threads_change_no_bit() {
        let part = |metric: usize, at: usize| Part {
            sum: ((at * 7919 + metric * 104_729) % 1000) as f64 / 7.0,
            weight: (1 + (at + metric % 2) % 3) as f64,
        };
        // More draws than a thread makes at a time, at a number of clusters that shares no factor with the words.
        for (n, replicates) in [(7, 100), (1013, 700)] {
            let all: Vec<Vec<Part>> = (0..11).map(|m| (0..n).map(|at| part(m, at)).collect()).collect();
            let few: Vec<Part> = (0..n / 2).map(|at| part(3, at)).collect();
            let mut asked: Vec<(&[Part], usize, u64)> = all.iter().map(|parts| (&parts[..], replicates, 5)).collect();
            asked.push((&few, replicates, 5));
            for ((parts, ..), found) in asked.iter().zip(Resampled::ratios(&asked)) {
                assert_eq!(found.replicates, plain(parts, replicates, 5));
            }
        }
    }
}
