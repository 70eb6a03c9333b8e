//! Holds every formula equal to scipy, statsmodels and numpy, by the answers in `tests/reference/stats`.

use serde_json::Value;

use crate::stats::agreement::Weights;
use crate::stats::arms::friedman;
use crate::stats::cluster::{Part, standard_error, total};
use crate::stats::compare::Permutation;
use crate::stats::exact::{share_at_least, share_at_most, wilson};
use crate::stats::power::{clusters_needed, power};
use crate::stats::resample::{Resampled, jackknife};
use crate::stats::signflip::two_sided;
use crate::stats::special::*;
use crate::stats::*;

/// Closed forms and the functions under them.
const CLOSE: f64 = 1e-10;
/// What scipy finds by iteration.
const ITERATED: f64 = 1e-8;

fn section(name: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../../../tests/reference/stats/reference.json")).unwrap();
    all[name].as_array().unwrap_or_else(|| panic!("no section {name}")).clone()
}

fn special(name: &str) -> Vec<Vec<f64>> {
    let all: Value = serde_json::from_str(include_str!("../../../tests/reference/stats/reference.json")).unwrap();
    all["special"][name].as_array().unwrap().iter().map(numbers).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn indices(value: &Value) -> Vec<usize> {
    numbers(value).into_iter().map(|value| value as usize).collect()
}

/// Equal up to `tolerance` of the larger of the expected value and one hundredth.
#[track_caller]
fn assert_close(found: f64, expected: f64, tolerance: f64) {
    let off = (found - expected).abs() / expected.abs().max(0.01);
    assert!(off <= tolerance, "found {found}, expected {expected}: off by {off:e}");
}

#[test]
fn distribution_functions_equal_scipy() {
    for row in special("normal_cdf") {
        assert_close(normal_cdf(row[0]), row[1], 1e-14);
    }
    for row in special("normal_quantile") {
        assert_close(normal_quantile(row[0]), row[1], 1e-12);
    }
    for row in special("student_cdf") {
        assert_close(student_cdf(row[0], row[1]), row[2], CLOSE);
    }
    for row in special("student_quantile") {
        assert_close(student_quantile(row[0], row[1]), row[2], CLOSE);
    }
    for row in special("beta_quantile") {
        assert_close(beta_quantile(row[0], row[1], row[2]), row[3], CLOSE);
    }
    for row in special("binomial_cdf") {
        assert_close(binomial_cdf(row[0] as usize, row[1] as usize, row[2]), row[3], CLOSE);
    }
    for row in special("chi_square_tail") {
        assert_close(chi_square_tail(row[0], row[1]), row[2], CLOSE);
    }
}

#[test]
fn share_intervals_equal_statsmodels() {
    for row in section("shares") {
        let (k, n) = (number(&row["k"]), number(&row["n"]));
        let (expected, found) = (numbers(&row["wilson"]), wilson(k, n, ALPHA));
        assert_close(found.0, expected[0], CLOSE);
        assert_close(found.1, expected[1], CLOSE);
        let expected = numbers(&row["exact"]);
        assert_close(share_at_least(k, n, ALPHA / 2.0), expected[0], CLOSE);
        assert_close(share_at_most(k, n, ALPHA / 2.0), expected[1], CLOSE);
    }
}

/// scipy knows no widening for few clusters, so the limits are taken at the plain normal quantile here.
#[test]
fn bootstrap_limits_equal_scipy_on_the_same_replicates() {
    for row in section("bootstraps") {
        let parts = parts(&row);
        let all = total(&parts);
        let resampled = Resampled::new(all.sum / all.weight, parts.len(), numbers(&row["replicates"]));
        let z = normal_quantile((1.0 + number(&row["level"])) / 2.0);
        let (jackknife, bca, percentile) = (jackknife(&parts), numbers(&row["bca"]), numbers(&row["percentile"]));
        for (side, sign) in [-1.0, 1.0].into_iter().enumerate() {
            assert_close(resampled.bca_limit(&jackknife, sign * z), bca[side], CLOSE);
            assert_close(resampled.percentile_limit(sign * z), percentile[side], CLOSE);
        }
    }
}

fn parts(row: &Value) -> Vec<Part> {
    let (sums, weights) = (numbers(&row["sums"]), numbers(&row["weights"]));
    sums.into_iter().zip(weights).map(|(sum, weight)| Part { sum, weight }).collect()
}

#[test]
fn standard_error_equals_a_regression_with_clustered_errors() {
    for row in section("standard_errors") {
        let cases: Vec<(&str, f64)> =
            row["cases"].as_array().unwrap().iter().map(|case| (case[0].as_str().unwrap(), number(&case[1]))).collect();
        let clustered = Clustered::new(cases, Scale::Real).unwrap();
        assert_close(clustered.mean().unwrap(), number(&row["mean"]), CLOSE);
        assert_close(standard_error(&clustered.parts).unwrap(), number(&row["standard_error"]), CLOSE);
    }
}

#[test]
fn one_binary_case_per_cluster_is_exact_mcnemar() {
    for row in section("mcnemars") {
        let (up, down) = (number(&row["up"]) as usize, number(&row["down"]) as usize);
        let mut differences = vec![0.0; 70];
        differences.extend(std::iter::repeat_n(1.0, up).chain(std::iter::repeat_n(-1.0, down)));
        let (p, permutation) = two_sided(&differences, 99, 1);
        assert_eq!(permutation, Permutation::Exact);
        assert_close(p, number(&row["p"]), 1e-11);
    }
}

#[test]
fn sign_flips_equal_scipy_over_all_patterns() {
    for row in section("sign_flips") {
        let (p, permutation) = two_sided(&numbers(&row["differences"]), 99, 1);
        assert_eq!(permutation, Permutation::Exact);
        assert_close(p, number(&row["p"]), 1e-12);
    }
}

#[test]
fn kappa_equals_statsmodels() {
    for row in section("kappas") {
        let mut matrix = Confusion::new(number(&row["labels"]) as usize);
        for (truth, predicted) in indices(&row["truth"]).into_iter().zip(indices(&row["predicted"])) {
            matrix.record(truth, predicted).unwrap();
        }
        assert_close(matrix.kappa(Weights::Equal).unwrap(), number(&row["equal"]), CLOSE);
        assert_close(matrix.kappa(Weights::Quadratic).unwrap(), number(&row["quadratic"]), CLOSE);
    }
}

#[test]
fn holm_equals_statsmodels() {
    for row in section("holms") {
        for (found, expected) in holm(&numbers(&row["p"])).unwrap().into_iter().zip(numbers(&row["adjusted"])) {
            assert_close(found, expected, CLOSE);
        }
    }
}

#[test]
fn quantiles_and_their_ranks_equal_numpy_and_scipy() {
    for row in section("quantiles") {
        for answer in row["answers"].as_array().unwrap() {
            let found = quantile(&numbers(&row["values"]), number(&answer["q"])).unwrap().unwrap();
            assert_close(found.value, number(&answer["value"]), CLOSE);
            assert_eq!(found.ci_low, answer["low"].as_f64(), "lower limit of q = {}, n = {}", found.q, found.n);
            assert_eq!(found.ci_high, answer["high"].as_f64(), "upper limit of q = {}, n = {}", found.q, found.n);
        }
    }
}

/// The second entry is Cochran's Q of binary outcomes.
#[test]
fn friedman_equals_scipy_and_cochrans_q_of_statsmodels() {
    for row in section("omnibus") {
        let blocks: Vec<Vec<f64>> = row["blocks"].as_array().unwrap().iter().map(numbers).collect();
        let found = friedman(&blocks).unwrap().unwrap();
        assert_close(found.statistic, number(&row["statistic"]), CLOSE);
        assert_close(found.p_value, number(&row["p"]), CLOSE);
    }
}

#[test]
fn power_equals_statsmodels() {
    for row in section("powers") {
        let (effect, spread) = (number(&row["effect"]), number(&row["spread"]));
        let found = power(effect, spread, number(&row["clusters"]) as usize).unwrap();
        assert_close(found, number(&row["power"]), ITERATED);
        if let Some(needed) = row["needed"].as_u64() {
            assert_eq!(clusters_needed(effect, spread).unwrap() as u64, needed);
        }
    }
}
