//! The sign-flip distribution of many clusters without drawing from it: its characteristic function, inverted.
//!
//! A sum of differences d under random signs has the characteristic function Π cos(d t), and
//!
//! P(|sum| < y) = 2/π ∫ Π cos(d t) · sin(y t) · h / sin(h t) dt, from 0 to π / 2h,
//!
//! exactly, where all d are multiples of a step h and y lies between two values of the sum; for sizes without a common
//! step h / sin(h t) is 1/t, and the integral goes on without end: Gil-Pelaez 1951, Biometrika 38:481-482. Trapezia of
//! width Δ err by the probability of a sum beyond 2π/Δ - y (Davies 1973, Biometrika 60:415-417), which Hoeffding's
//! inequality bounds: some twenty steps suffice, however many clusters there are, where drawing needs thousands.

use std::f64::consts::PI;

use libm::{cos, sin};

/// Standard deviations beyond which there is nothing: Hoeffding's 2 exp(-9²/2) is 5e-18.
const BEYOND: f64 = 9.0;
/// A characteristic function this small has come to its end.
const NOTHING: f64 = 1e-17;
/// The least that one size is held to contribute to that: its cosine passes through zero again and again, and means nothing
/// by it.
const LEAST_FACTOR: f64 = 0.5;
/// Steps after which it is given up: a few sizes that dwarf the others make it fall slowly.
const MOST_STEPS: usize = 500;
/// Probabilities below this are lost among the rounding errors of the sum.
const LEAST: f64 = 1e-13;

/// The probability of a sum at least `distance` from zero under random signs of `sizes`, all positive; `step` is what
/// they are multiples of, if anything. `None` where it is not to be had cheaply.
///
/// The characteristic function is followed to where it vanishes first. Sizes that nearly have a common step may let it
/// rise again; leaving that out smooths the distribution over its neighbouring values, of which there are 2 to the
/// number of clusters.
pub(super) fn two_sided_tail(sizes: &[f64], distance: f64, step: Option<f64>) -> Option<f64> {
    let deviation = sizes.iter().map(|size| size * size).sum::<f64>().sqrt();
    // Between the values of the sum, which are two steps apart.
    let distance = distance - step.unwrap_or(0.0);
    if distance <= 0.0 {
        return Some(1.0);
    }
    if distance > BEYOND * deviation {
        return Some(LEAST);
    }
    let width = 2.0 * PI / (distance + BEYOND * deviation);
    // Where the step ends the integral, the last trapezium ends with it.
    let end = step.map(|step| PI / (2.0 * step));
    let width = end.map_or(width, |end| end / (end / width).ceil());
    let kernel = |t: f64| step.map_or(1.0 / t, |step| step / sin(step * t));
    let mut cosines = Cosines::new(sizes, width);
    let mut sum = distance / 2.0;
    for n in 1..=MOST_STEPS {
        let (t, (characteristic, magnitude)) = (n as f64 * width, cosines.next_product());
        let last = end.is_some_and(|end| t > end - width / 2.0);
        sum += if last { 0.5 } else { 1.0 } * characteristic * sin(distance * t) * kernel(t);
        if last || magnitude < NOTHING {
            return Some((1.0 - 2.0 / PI * width * sum).clamp(LEAST, 1.0));
        }
    }
    None
}

/// cos(d t) of every size d at multiples of a width, each from the two before: cos(nx) = 2 cos(x) cos((n-1)x) -
/// cos((n-2)x).
struct Cosines {
    first: Vec<f64>,
    before: Vec<f64>,
    now: Vec<f64>,
}

impl Cosines {
    fn new(sizes: &[f64], width: f64) -> Self {
        let first: Vec<f64> = sizes.iter().map(|size| cos(size * width)).collect();
        Self { before: first.clone(), now: vec![1.0; sizes.len()], first }
    }

    /// Steps on, and multiplies them all: as they are, and for their magnitude.
    fn next_product(&mut self) -> (f64, f64) {
        let (mut product, mut magnitude) = (1.0, 1.0);
        for ((first, before), now) in self.first.iter().zip(&mut self.before).zip(&mut self.now) {
            let next = 2.0 * first * *now - *before;
            (*before, *now) = (*now, next);
            product *= next;
            magnitude *= next.abs().max(LEAST_FACTOR);
        }
        (product, magnitude)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::special::normal_cdf;

    fn enumerated(sizes: &[f64], distance: f64) -> f64 {
        let patterns = 1_u32 << sizes.len();
        let sum = |pattern: u32| {
            let signed = |(bit, size): (usize, &f64)| if pattern >> bit & 1 == 1 { *size } else { -size };
            sizes.iter().enumerate().map(signed).sum::<f64>()
        };
        (0..patterns).filter(|pattern| sum(*pattern).abs() >= distance - 1e-9).count() as f64 / f64::from(patterns)
    }

    #[test]
    fn whole_numbers_are_counted_exactly() {
        let sizes: Vec<f64> = (0..16).map(|n| f64::from(n % 5 + 1)).collect();
        for distance in (0..=48).step_by(2).map(f64::from) {
            let (found, expected) =
                (two_sided_tail(&sizes, distance, Some(1.0)).unwrap(), enumerated(&sizes, distance));
            assert!((found - expected).abs() < 1e-12, "{distance}: {found} is not {expected}");
        }
    }

    #[test]
    fn many_clusters_are_nearly_normal() {
        let sizes: Vec<f64> = (0..100_000).map(|n| 1.0 + 0.5 * sin(f64::from(n))).collect();
        let deviation = sizes.iter().map(|size| size * size).sum::<f64>().sqrt();
        for z in [0.1, 1.0, 1.96, 4.0] {
            let found = two_sided_tail(&sizes, z * deviation, None).unwrap();
            assert!((found - 2.0 * normal_cdf(-z)).abs() < 1e-5, "{z}: {found}");
        }
    }

    #[test]
    fn a_few_giants_are_left_to_others_and_what_is_far_out_is_small() {
        let mut sizes = vec![1.0; 50];
        sizes.push(1e6);
        assert_eq!(two_sided_tail(&sizes, 1e6, None), None);
        assert_eq!(two_sided_tail(&[1.0; 2000], 2000.0, Some(1.0)), Some(LEAST));
        assert_eq!(two_sided_tail(&[1.0; 2000], 0.0, Some(1.0)), Some(1.0));
    }
}
