//! The sign-flip permutation test: if two runs are equally good, each cluster's difference could as well have come out
//! with the other sign.
//!
//! Fisher 1935, *The Design of Experiments*, 21; Good 2005, *Permutation, Parametric and Bootstrap Tests*, 3.2. With
//! one binary case per cluster the sum of signs is binomial, and this is the exact test of McNemar 1947.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::resample::{Purpose, generator};

/// Up to this many clusters with a difference every sign pattern is visited.
const ENUMERABLE: usize = 18;
/// Up to this many steps the exact distribution of whole-number sums is built; a tenth of a second without
/// optimisation.
const LATTICE_STEPS: usize = 1 << 23;
/// Sums of this many clusters are looked up, not added, when patterns are drawn.
const BLOCK: usize = 8;
/// Sign patterns of a block.
const PATTERNS: usize = 1 << BLOCK;
/// Patterns of all clusters that are added up side by side.
const ABREAST: usize = 8;
/// Sums closer than this share of the largest possible one are ties, not rounding.
const TIE: f64 = 1e-9;

/// How the p-value was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permutation {
    /// Over all sign patterns.
    Exact,
    /// Over patterns drawn at random, the observed one counted in: (k+1)/(n+1), Phipson & Smyth 2010 (Stat. Appl.
    /// Genet. Mol. Biol. 9:39).
    MonteCarlo,
}

/// The probability of a sum of differences at least as far from zero, either way, under random signs.
pub(super) fn two_sided(differences: &[f64], draws: usize, seed: u64) -> (f64, Permutation) {
    let sizes: Vec<f64> = differences.iter().map(|value| value.abs()).filter(|size| *size > 0.0).collect();
    let observed = differences.iter().sum::<f64>().abs();
    let tolerance = TIE * sizes.iter().sum::<f64>();
    if let Some(steps) = lattice(&sizes) {
        return (exact_on_lattice(&steps, observed / sizes.iter().sum::<f64>()), Permutation::Exact);
    }
    if sizes.len() <= ENUMERABLE {
        let patterns = 2f64.powi(sizes.len() as i32);
        return (count_patterns(&sizes, 0.0, observed - tolerance) as f64 / patterns, Permutation::Exact);
    }
    (drawn(&sizes, observed - tolerance, draws, seed), Permutation::MonteCarlo)
}

/// The sizes as multiples of a common step, where they are: outcomes are, and means of up to twelve repeats of them.
fn lattice(sizes: &[f64]) -> Option<Vec<usize>> {
    let whole = |size: f64, parts: f64| (size * parts - (size * parts).round()).abs() < 1e-9;
    let parts = (1..=12).map(f64::from).find(|parts| sizes.iter().all(|size| whole(*size, *parts)))?;
    let sum = sizes.iter().sum::<f64>() * parts;
    let affordable = sum * sizes.len() as f64 <= LATTICE_STEPS as f64;
    affordable.then(|| sizes.iter().map(|size| (size * parts).round() as usize).collect())
}

/// Builds the distribution of the sum of those sizes that get a minus sign, up to the tail that counts.
///
/// `observed` is the distance from zero as a share of the largest possible.
fn exact_on_lattice(steps: &[usize], observed: f64) -> f64 {
    let all: usize = steps.iter().sum();
    let distance = (observed * all as f64).round() as usize;
    if all == 0 || distance == 0 {
        return 1.0;
    }
    // |all - 2 minus| >= distance, and both tails weigh the same.
    let last = (all - distance) / 2;
    let (mut probability, mut next) = (vec![0.0; last + 1], vec![0.0; last + 1]);
    probability[0] = 1.0;
    // The largest sum so far: beyond it there are zeros.
    let mut most = 0;
    for &step in steps {
        most = (most + step).min(last);
        let (kept, flipped) = next[..=most].split_at_mut(step.min(most + 1));
        for (sum, stays) in kept.iter_mut().zip(&probability) {
            *sum = 0.5 * stays;
        }
        for (sum, (stays, flips)) in flipped.iter_mut().zip(probability[step.min(most + 1)..].iter().zip(&probability))
        {
            *sum = 0.5 * (stays + flips);
        }
        std::mem::swap(&mut probability, &mut next);
    }
    (2.0 * probability.iter().sum::<f64>()).min(1.0)
}

/// How many sign patterns of `sizes`, added to `sum`, end at least `distance` from zero.
fn count_patterns(sizes: &[f64], sum: f64, distance: f64) -> u64 {
    match sizes.split_first() {
        None => u64::from(sum.abs() >= distance),
        Some((size, rest)) => count_patterns(rest, sum + size, distance) + count_patterns(rest, sum - size, distance),
    }
}

/// The share of `draws` random patterns that end at least `distance` from zero, the observed one counted in.
///
/// Several patterns are added up side by side, each in the order of its blocks: a block is then at hand for all of them.
fn drawn(sizes: &[f64], distance: f64, draws: usize, seed: u64) -> f64 {
    let blocks: Vec<[f64; PATTERNS]> = sizes.chunks(BLOCK).map(all_sums).collect();
    let mut rng = generator(seed, Purpose::SignFlip);
    let mut bytes = vec![0; blocks.len() * ABREAST];
    let mut extreme = 0;
    for start in (0..draws).step_by(ABREAST) {
        let abreast = ABREAST.min(draws - start);
        bytes.chunks_mut(blocks.len()).take(abreast).for_each(|pattern| rng.fill_bytes(pattern));
        let sums = sums_abreast(&blocks, &bytes);
        extreme += sums[..abreast].iter().filter(|sum| sum.abs() >= distance).count();
    }
    (extreme + 1) as f64 / (draws + 1) as f64
}

fn sums_abreast(blocks: &[[f64; PATTERNS]], bytes: &[u8]) -> [f64; ABREAST] {
    let patterns: [&[u8]; ABREAST] = std::array::from_fn(|at| &bytes[at * blocks.len()..][..blocks.len()]);
    let mut sums = [0.0; ABREAST];
    for (at, block) in blocks.iter().enumerate() {
        for (sum, pattern) in sums.iter_mut().zip(&patterns) {
            *sum += block[usize::from(pattern[at])];
        }
    }
    sums
}

/// The sums of a block under each of its sign patterns, so that one random byte settles eight clusters. A block of
/// fewer ignores the bits that it has no cluster for.
fn all_sums(block: &[f64]) -> [f64; PATTERNS] {
    std::array::from_fn(|pattern| {
        let signed = |(bit, size): (usize, &f64)| if pattern >> bit & 1 == 1 { *size } else { -size };
        block.iter().enumerate().map(signed).sum()
    })
}
