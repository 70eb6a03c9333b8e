//! The few distribution functions that the tests and intervals need, on `libm` alone.
//!
//! The standard library's `exp` and `ln` are whatever the platform's C library computes, so the same run could get
//! another interval on another machine; `libm` is plain Rust arithmetic and gives the same bits everywhere. Quantiles
//! are found by bisection of their distribution function: slower than a closed approximation, exact to the last few
//! bits, and called a handful of times per comparison.

use std::f64::consts::SQRT_2;

use libm::{erfc, exp, lgamma, log, log1p};

/// Terms after which a series or continued fraction is taken as converged; reached by no argument in use here.
const MAX_TERMS: usize = 100_000;

/// The probability that a standard normal variable is at most `x`. Abramowitz & Stegun 26.2.29.
pub(super) fn normal_cdf(x: f64) -> f64 {
    0.5 * erfc(-x / SQRT_2)
}

/// The value that a standard normal variable stays below with probability `p`; infinite at 0 and 1.
pub(super) fn normal_quantile(p: f64) -> f64 {
    if p > 0.5 { -normal_quantile(1.0 - p) } else { lower_tail_quantile(p, normal_cdf) }
}

/// The probability that Student's t with `df` degrees of freedom is at most `t`. Abramowitz & Stegun 26.7.1.
pub(super) fn student_cdf(t: f64, df: f64) -> f64 {
    let square = t * t;
    if square < df {
        // Near the middle the tail's argument would round to one.
        let inside = 0.5 * incomplete_beta(0.5, 0.5 * df, square / (df + square));
        return 0.5 + inside.copysign(t);
    }
    let tail = 0.5 * incomplete_beta(0.5 * df, 0.5, df / (df + square));
    if t > 0.0 { 1.0 - tail } else { tail }
}

/// The value that Student's t with `df` degrees of freedom stays below with probability `p`; infinite at 0 and 1.
pub(super) fn student_quantile(p: f64, df: f64) -> f64 {
    if p > 0.5 { -student_quantile(1.0 - p, df) } else { lower_tail_quantile(p, |t| student_cdf(t, df)) }
}

/// The value that a beta(`a`, `b`) variable stays below with probability `p`, for `a`, `b` > 0.
pub(super) fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    bisect(0.0, 1.0, |x| incomplete_beta(a, b, x) < p)
}

/// The probability of at most `k` successes in `n` trials that succeed with probability `p` each.
/// Abramowitz & Stegun 26.5.24.
pub(super) fn binomial_cdf(k: usize, n: usize, p: f64) -> f64 {
    if k >= n { 1.0 } else { incomplete_beta((n - k) as f64, k as f64 + 1.0, 1.0 - p) }
}

/// The probability that chi-square with `df` degrees of freedom exceeds `x`. Abramowitz & Stegun 26.4.19.
pub(super) fn chi_square_tail(x: f64, df: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let (a, x) = (0.5 * df, 0.5 * x);
    let scale = exp(a * log(x) - x - lgamma(a));
    if x < a + 1.0 { 1.0 - scale * gamma_series(a, x) } else { scale * gamma_fraction(a, x) }
}

/// The lower incomplete gamma function over x^a e^-x: Abramowitz & Stegun 6.5.29.
fn gamma_series(a: f64, x: f64) -> f64 {
    let (mut term, mut sum) = (1.0 / a, 1.0 / a);
    for n in 1..MAX_TERMS {
        term *= x / (a + n as f64);
        sum += term;
        if term < sum * f64::EPSILON {
            break;
        }
    }
    sum
}

/// The upper incomplete gamma function over x^a e^-x: the continued fraction of Abramowitz & Stegun 6.5.31.
fn gamma_fraction(a: f64, x: f64) -> f64 {
    let terms = (1..MAX_TERMS).map(|n| {
        let n = n as f64;
        (-n * (n - a), x + 2.0 * n + 1.0 - a)
    });
    1.0 / continued_fraction(x + 1.0 - a, terms)
}

/// The regularised incomplete beta function, Abramowitz & Stegun 26.5.8 (DLMF 8.17.22).
pub(super) fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta_lower(b, a, 1.0 - x);
    }
    incomplete_beta_lower(a, b, x)
}

fn incomplete_beta_lower(a: f64, b: f64, x: f64) -> f64 {
    let scale = exp(a * log(x) + b * log1p(-x) + lgamma(a + b) - lgamma(a) - lgamma(b)) / a;
    let terms = (1..MAX_TERMS).map(|n| {
        let m = (n / 2) as f64;
        let step = a + 2.0 * m;
        let numerator = if n % 2 == 0 {
            m * (b - m) * x / ((step - 1.0) * step)
        } else {
            -(a + m) * (a + b + m) * x / (step * (step + 1.0))
        };
        (numerator, 1.0)
    });
    scale / continued_fraction(1.0, terms)
}

/// `first` + a1/(b1 + a2/(b2 + …)) by the modified Lentz algorithm (Thompson & Barnett 1986, J. Comput. Phys. 64).
fn continued_fraction(first: f64, terms: impl Iterator<Item = (f64, f64)>) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut value = away_from_zero(first);
    let (mut c, mut d) = (value, 0.0);
    for (numerator, denominator) in terms {
        d = 1.0 / away_from_zero(denominator + numerator * d);
        c = away_from_zero(denominator + numerator / c);
        value *= c * d;
        if (c * d - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    value
}

/// The quantile at `p` <= 0.5 of a distribution that is symmetric around zero.
fn lower_tail_quantile(p: f64, cdf: impl Fn(f64) -> f64) -> f64 {
    if p <= 0.0 {
        return f64::NEG_INFINITY;
    }
    let mut low = -1.0;
    while cdf(low) > p {
        low *= 2.0;
    }
    bisect(low, 0.0, |x| cdf(x) < p)
}

/// Where `below` turns from true to false between `low` and `high`, to the last bit that halving can give.
fn bisect(mut low: f64, mut high: f64, below: impl Fn(f64) -> bool) -> f64 {
    loop {
        let middle = low + 0.5 * (high - low);
        if middle <= low || middle >= high {
            return middle;
        }
        *(if below(middle) { &mut low } else { &mut high }) = middle;
    }
}
