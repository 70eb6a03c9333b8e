//! The sign-flip permutation test: if two runs are equally good, each cluster's difference could as well have come out
//! with the other sign.
//!
//! Fisher 1935, *The Design of Experiments*, 21; Good 2005, *Permutation, Parametric and Bootstrap Tests*, 3.2. With
//! one binary case per cluster the sum of signs is binomial, and this is the exact test of McNemar 1947.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::inversion::two_sided_tail;
use super::resample::{Purpose, generator};

/// Up to this many clusters with a difference every sign pattern is visited.
const ENUMERABLE: usize = 18;
/// Up to this many steps the exact distribution of whole-number sums is built; a tenth of a second without
/// optimisation.
const LATTICE_STEPS: usize = 1 << 23;
/// Beyond it every number is whole, because nothing is left for its fraction.
const LARGEST_WHOLE: f64 = 1e12;
/// From this many clusters with a difference on nothing is drawn: the distribution is computed.
const MANY: usize = 1_000;
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
    /// Over all sign patterns, from the characteristic function of their sum.
    Inversion,
    /// Over patterns drawn at random, the observed one counted in: (k+1)/(n+1), Phipson & Smyth 2010 (Stat. Appl.
    /// Genet. Mol. Biol. 9:39).
    MonteCarlo,
}

/// The probability of a sum of differences at least as far from zero, either way, under random signs.
pub(super) fn two_sided(differences: &[f64], draws: usize, seed: u64) -> (f64, Permutation) {
    let sizes: Vec<f64> = differences.iter().map(|value| value.abs()).filter(|size| *size > 0.0).collect();
    let observed = differences.iter().sum::<f64>().abs();
    let tolerance = TIE * sizes.iter().sum::<f64>();
    let lattice = Lattice::of(&sizes);
    if let Some(Lattice { steps, .. }) = lattice.as_ref().filter(|lattice| lattice.is_affordable()) {
        return (exact_on_lattice(steps, observed / sizes.iter().sum::<f64>()), Permutation::Exact);
    }
    if sizes.len() <= ENUMERABLE {
        let patterns = 2f64.powi(sizes.len() as i32);
        return (count_patterns(&sizes, 0.0, observed - tolerance) as f64 / patterns, Permutation::Exact);
    }
    let step = lattice.map(|lattice| lattice.step());
    match (sizes.len() >= MANY).then(|| two_sided_tail(&sizes, observed, step)).flatten() {
        Some(probability) => (probability, Permutation::Inversion),
        None => (drawn(&sizes, observed - tolerance, draws, seed), Permutation::MonteCarlo),
    }
}

/// Sizes that are multiples of a common step: outcomes are, and means of up to twelve repeats of them.
struct Lattice {
    /// How many of them make one.
    parts: f64,
    steps: Vec<usize>,
}

impl Lattice {
    fn of(sizes: &[f64]) -> Option<Self> {
        let whole =
            |size: f64, parts: f64| (size * parts - (size * parts).round()).abs() < 1e-9 && size < LARGEST_WHOLE;
        let parts = (1..=12).map(f64::from).find(|parts| sizes.iter().all(|size| whole(*size, *parts)))?;
        Some(Self { parts, steps: sizes.iter().map(|size| (size * parts).round() as usize).collect() })
    }

    fn is_affordable(&self) -> bool {
        let sum: f64 = self.steps.iter().map(|steps| *steps as f64).sum();
        sum * self.steps.len() as f64 <= LATTICE_STEPS as f64
    }

    /// The largest that they have in common.
    fn step(&self) -> f64 {
        self.steps.iter().fold(0, |common, steps| divisor(common, *steps)) as f64 / self.parts
    }
}

/// The greatest common divisor, by Euclid.
fn divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { divisor(b, a % b) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_computed_is_what_draws_would_show() {
        let shape: [fn(f64) -> f64; 3] =
            [|x| 1.0 + (x * 1.7).sin(), |x| (x * 31.0 % 97.0).floor() + 1.0, |x| (x % 40.0).exp()];
        for (of, scale) in shape.into_iter().zip([1.0, 1.0, 0.2]) {
            let sizes: Vec<f64> = (0..MANY).map(|n| of(scale * n as f64)).collect();
            let deviation = sizes.iter().map(|size| size * size).sum::<f64>().sqrt();
            // Whole numbers have a sum as even or odd as it was without signs.
            let parity = sizes.iter().sum::<f64>() % 2.0;
            for z in [0.3, 1.0, 2.0] {
                let distance = (z * deviation / 2.0).round() * 2.0 + parity;
                let step = Lattice::of(&sizes).map(|lattice| lattice.step());
                let computed = two_sided_tail(&sizes, distance, step).unwrap();
                let drawn = drawn(&sizes, distance * (1.0 - TIE), 20_000, 1);
                // Four standard errors of the draws.
                let most = 4.0 * (computed * (1.0 - computed) / 20_000.0).sqrt() + 1e-4;
                assert!((computed - drawn).abs() < most, "{z}: {computed}, drawn {drawn}");
            }
        }
    }

    #[test]
    fn the_way_to_a_probability_depends_on_what_there_is() {
        let of = |differences: &[f64]| two_sided(differences, 99, 1).1;
        assert_eq!(of(&vec![1.0; MANY]), Permutation::Exact);
        assert_eq!(of(&[0.1234567; 12]), Permutation::Exact);
        assert_eq!(of(&vec![1.0; 3 * MANY]), Permutation::Inversion);
        assert_eq!(of(&vec![0.1234567; MANY - 1]), Permutation::MonteCarlo);
        let dwarfed: Vec<f64> = (0..MANY).map(|n| if n == 0 { 1e6 } else { (n as f64).sin() }).collect();
        assert_eq!(of(&dwarfed), Permutation::MonteCarlo);
    }

    #[test]
    fn the_common_step_is_the_largest() {
        let step = |sizes: &[f64]| Lattice::of(sizes).map(|lattice| lattice.step());
        assert_eq!(step(&[2.0, 4.0, 6.0]), Some(2.0));
        assert_eq!(step(&[0.5, 1.0]), Some(0.5));
        assert_eq!(step(&[0.1234567, 1.0]), None);
        assert_eq!(step(&[1e300, 1.0]), None);
    }
}
