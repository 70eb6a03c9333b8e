//! What holds for any input.

use proptest::prelude::*;

use crate::stats::agreement::{Rating, Weights, kappa};
use crate::stats::*;

const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

fn plan(scale: Scale, margin: f64) -> Plan {
    Plan { direction: Direction::HigherIsBetter, scale, margin, seed: 7 }
}

fn pairs_of(values: impl Strategy<Value = f64> + Clone) -> impl Strategy<Value = Vec<Pair<'static>>> {
    let pair =
        (prop::sample::select(&NAMES[..]), values.clone(), values).prop_map(|(cluster, a, b)| Pair { cluster, a, b });
    prop::collection::vec(pair, 0..40)
}

/// Outcomes, thirds as three repeats give them, and anything between.
fn scores() -> impl Strategy<Value = f64> + Clone {
    prop_oneof![Just(0.0), Just(1.0), Just(1.0 / 3.0), Just(2.0 / 3.0), 0.0..=1.0]
}

fn swapped(pairs: &[Pair<'static>]) -> Vec<Pair<'static>> {
    pairs.iter().map(|pair| Pair { cluster: pair.cluster, a: pair.b, b: pair.a }).collect()
}

fn close(x: Option<f64>, y: Option<f64>) -> bool {
    x.zip(y).map_or(x.is_none() && y.is_none(), |(x, y)| (x - y).abs() < 1e-9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_float_is_answered_or_refused(pairs in pairs_of(any::<f64>())) {
        let finite = pairs.iter().all(|pair| pair.a.is_finite() && pair.b.is_finite());
        let found = compare(&pairs, &plan(Scale::Real, 0.1));
        prop_assert_eq!(found.is_ok(), finite && !pairs.is_empty());
        prop_assert!(non_inferiority(&pairs, &plan(Scale::Unit, 0.1)).is_ok() <= finite);
        prop_assert_eq!(quantile(&pairs.iter().map(|pair| pair.a).collect::<Vec<_>>(), 0.95).is_ok(), pairs.iter().all(|pair| pair.a.is_finite()));
    }

    #[test]
    fn swapping_the_runs_changes_the_sign_and_nothing_else(pairs in pairs_of(scores())) {
        prop_assume!(!pairs.is_empty());
        let plan = plan(Scale::Unit, 0.1);
        let (there, back) = (compare(&pairs, &plan).unwrap(), compare(&swapped(&pairs), &plan).unwrap());
        prop_assert!((there.delta + back.delta).abs() < 1e-12);
        prop_assert!((there.p_value - back.p_value).abs() < 1e-12);
        prop_assert!(close(there.ci_low, back.ci_high.map(|high| -high)), "{there:?} {back:?}");
        prop_assert!(close(there.mde, back.mde));
        let mirrored = match there.conclusion {
            Conclusion::Better => Conclusion::Worse,
            Conclusion::Worse => Conclusion::Better,
            same => same,
        };
        prop_assert_eq!(back.conclusion, mirrored);
    }

    #[test]
    fn the_order_of_cases_does_not_change_a_bit(pairs in pairs_of(scores()).prop_shuffle()) {
        let mut sorted = pairs.clone();
        sorted.sort_by(|x, y| x.b.total_cmp(&y.b));
        let plan = plan(Scale::Unit, 0.1);
        prop_assert_eq!(compare(&pairs, &plan), compare(&sorted, &plan));
        let estimate = |pairs: &[Pair<'static>]| {
            Clustered::new(pairs.iter().map(|pair| (pair.cluster, pair.a)), Scale::Unit).unwrap().estimate(3)
        };
        prop_assert_eq!(estimate(&pairs), estimate(&sorted));
    }

    #[test]
    fn a_conclusion_never_contradicts_the_numbers_beside_it(pairs in pairs_of(scores())) {
        prop_assume!(!pairs.is_empty());
        let found = compare(&pairs, &plan(Scale::Unit, 0.3)).unwrap();
        let interval = found.ci_low.zip(found.ci_high);
        if let Some((low, high)) = interval {
            prop_assert!(-1.0 <= low && low < high && high <= 1.0, "{found:?}");
        }
        let consistent = match (found.conclusion, interval) {
            (Conclusion::CannotTell, _) => true,
            (_, None) => false,
            (Conclusion::Better, Some((low, _))) => found.p_value <= ALPHA && low > 0.0,
            (Conclusion::Worse, Some((_, high))) => found.p_value <= ALPHA && high < 0.0,
            (Conclusion::Equivalent, Some((low, high))) => low >= -0.3 && high <= 0.3,
        };
        prop_assert!(consistent && (0.0..=1.0).contains(&found.p_value), "{found:?}");
        prop_assert!(found.n_clusters >= FEWEST_CLUSTERS || found.conclusion == Conclusion::CannotTell);
    }

    #[test]
    fn an_estimate_has_no_interval_of_zero_width(pairs in pairs_of(scores())) {
        let values = Clustered::new(pairs.iter().map(|pair| (pair.cluster, pair.a)), Scale::Unit).unwrap();
        let found = values.estimate(1);
        prop_assert_eq!(found.is_none(), pairs.is_empty());
        if let Some((low, high)) = found.as_ref().and_then(|found| found.ci_low.zip(found.ci_high)) {
            prop_assert!(0.0 <= low && low < high && high <= 1.0, "{found:?}");
        }
    }

    #[test]
    fn holm_keeps_the_order_and_never_lowers(p_values in prop::collection::vec(0.0..=1.0, 0..20)) {
        let adjusted = holm(&p_values).unwrap();
        for (i, p) in p_values.iter().enumerate() {
            prop_assert!(adjusted[i] >= *p && adjusted[i] <= 1.0);
            prop_assert!((0..p_values.len()).all(|j| p_values[j] < *p || adjusted[j] >= adjusted[i]));
        }
    }

    #[test]
    fn kappa_is_one_where_all_agree_and_at_most_one(labels in prop::collection::vec((0usize..4, 0usize..4), 0..30)) {
        let rate = |same: bool| -> Vec<Rating<'static>> {
            let predicted = |truth, other| if same { truth } else { other };
            let rating = |(at, &(truth, other)): (usize, &(usize, usize))| {
                Rating { cluster: NAMES[at % 12], truth, predicted: predicted(truth, other) }
            };
            labels.iter().enumerate().map(rating).collect()
        };
        for weights in [Weights::Equal, Weights::Quadratic] {
            let perfect = kappa(&rate(true), 4, weights, 1).unwrap();
            prop_assert!(perfect.is_none_or(|found| found.value == 1.0 && found.ci_low.is_none()));
            let some = kappa(&rate(false), 4, weights, 1).unwrap();
            prop_assert!(some.is_none_or(|found| (-1.0..=1.0).contains(&found.value)));
        }
    }
}

#[test]
fn what_is_no_number_is_named_with_its_cluster() {
    let pairs = [Pair { cluster: "c-017", a: 0.0, b: f64::NAN }];
    let error = compare(&pairs, &plan(Scale::Unit, 0.0)).unwrap_err().to_string();
    assert!(error.starts_with("value NaN in cluster `c-017` is not a finite number"), "{error}");
    let pairs = [Pair { cluster: "c-017", a: 0.0, b: 1.5 }];
    let error = compare(&pairs, &plan(Scale::Unit, 0.0)).unwrap_err().to_string();
    assert!(error.starts_with("value 1.5 in cluster `c-017` lies outside 0 to 1"), "{error}");
}

/// 1 - 0.025^(1/40): what the data leave possible when 40 captures showed nothing.
#[test]
fn without_a_discordant_pair_the_exact_bound_stands() {
    let names: Vec<String> = (0..40).map(|i| i.to_string()).collect();
    let pairs: Vec<Pair<'_>> = names.iter().map(|cluster| Pair { cluster, a: 1.0, b: 1.0 }).collect();
    let found = compare(&pairs, &plan(Scale::Unit, 0.1)).unwrap();
    assert_eq!((found.p_value, found.method, found.discordant), (1.0, Method::Exact, 0));
    let bound = 1.0 - libm::pow(0.025, 1.0 / 40.0);
    assert!(close(found.ci_low, Some(-bound)) && close(found.ci_high, Some(bound)), "{found:?}");
    assert_eq!(found.conclusion, Conclusion::Equivalent);
    assert!(found.mde.unwrap() > 0.1, "40 captures cannot promise to find ten points: {found:?}");
    assert_eq!(compare(&pairs, &plan(Scale::Unit, 0.08)).unwrap().conclusion, Conclusion::CannotTell);
}

/// Resampling clusters that all say the same would give an interval of zero width.
#[test]
fn a_difference_that_all_clusters_share_is_bounded_and_concluded_from() {
    let pairs: Vec<Pair<'_>> = NAMES.iter().map(|cluster| Pair { cluster, a: 0.0, b: 1.0 }).collect();
    let found = compare(&pairs, &plan(Scale::Unit, 0.0)).unwrap();
    assert_eq!((found.conclusion, found.ci_high, found.method), (Conclusion::Better, Some(1.0), Method::Exact));
    assert!(close(found.ci_low, Some(2.0 * libm::pow(0.025, 1.0 / 12.0) - 1.0)), "{found:?}");
}

#[test]
fn lower_is_better_turns_the_word_and_not_the_number() {
    let seconds = |i: usize| Pair { cluster: NAMES[i], a: 2.0, b: 3.0 + i as f64 };
    let pairs: Vec<Pair<'_>> = (0..12).map(seconds).collect();
    let up = compare(&pairs, &plan(Scale::Real, 0.0)).unwrap();
    let lower = Plan { direction: Direction::LowerIsBetter, ..plan(Scale::Real, 0.0) };
    let down = compare(&pairs, &lower).unwrap();
    assert_eq!((up.conclusion, down.conclusion), (Conclusion::Better, Conclusion::Worse));
    assert_eq!((up.delta, up.ci_low), (down.delta, down.ci_low));
    assert_eq!(up.p_value, 2.0 / 4096.0);
    assert_eq!(non_inferiority(&pairs, &lower).unwrap().outcome, GateOutcome::Inferior);
}

#[test]
fn repeats_are_averaged_before_cases_are_counted() {
    let rows = [("k", "x", 1.0), ("k", "y", 1.0), ("k", "x", 0.0), ("j", "z", 0.5)];
    let means: Vec<_> = average_repeats(rows).into_iter().map(|mean| (mean.cluster, mean.case, mean.value)).collect();
    assert_eq!(means, [("j", "z", 0.5), ("k", "x", 0.5), ("k", "y", 1.0)]);
}

#[test]
fn few_clusters_get_an_exact_bound_or_none() {
    let latency = Clustered::new([("a", 1.0), ("b", 2.0), ("c", 4.0)], Scale::Real).unwrap().estimate(1).unwrap();
    assert_eq!((latency.ci_low, latency.ci_high, latency.method), (None, None, Method::NoInterval));
    let cases = ["a", "a", "b", "b", "c", "c"].map(|cluster| (cluster, 1.0));
    let rate = Clustered::new(cases, Scale::Unit).unwrap().estimate(1).unwrap();
    assert_eq!((rate.value, rate.ci_high, rate.method), (1.0, Some(1.0), Method::Exact));
    assert!(close(rate.ci_low, Some(libm::cbrt(0.025))), "six cases of three captures count three: {rate:?}");
}

#[test]
fn a_ratio_of_sums_weighs_clusters_by_their_denominators() {
    let counts = [("a", 1.0, 4.0), ("a", 0.0, 0.0), ("b", 5.0, 6.0)];
    let found = Clustered::ratio(counts).unwrap().estimate(1).unwrap();
    assert_eq!((found.value, found.n_cases, found.n_clusters), (0.6, 3, 2));
    assert!(Clustered::ratio([("a", 2.0, 1.0)]).is_err());
}

/// The same bits on every machine: should this fail on one, its runs must not be compared with others.
#[test]
fn equal_seeds_give_equal_bits() {
    let pairs: Vec<Pair<'_>> = (0..60u32)
        .map(|i| Pair {
            cluster: NAMES[i as usize % 12],
            a: f64::from(i * 7 % 11) / 10.0,
            b: f64::from(i * 5 % 13) / 12.0,
        })
        .collect();
    let found = compare(&pairs, &plan(Scale::Real, 0.0)).unwrap();
    let bits = [found.ci_low.unwrap(), found.ci_high.unwrap(), found.p_value, found.mde.unwrap()].map(f64::to_bits);
    assert_eq!(bits, [13814045814304279922, 4590388996189511425, 4607182418800017408, 4592935417642348269]);
}

/// Prompts that are the same have the same tokens, and a gate on them opens.
#[test]
fn runs_that_differ_almost_nowhere_are_judged_by_their_extremes() {
    let names: Vec<String> = (0..20).map(|cluster| format!("c{cluster}")).collect();
    let pairs = |worst: f64| -> Vec<Pair<'_>> {
        let b = |at: usize| 400.0 + if at == 7 { worst } else { 0.0 };
        names.iter().enumerate().map(|(at, cluster)| Pair { cluster, a: 400.0, b: b(at) }).collect()
    };
    let plan = Plan { direction: Direction::LowerIsBetter, scale: Scale::Real, margin: 50.0, seed: 1 };
    let gate = |worst: f64| non_inferiority(&pairs(worst), &plan).unwrap();
    assert_eq!((gate(0.0).outcome, gate(0.0).bound), (GateOutcome::NonInferior, Some(0.0)));
    assert_eq!((gate(50.0).outcome, gate(50.0).bound), (GateOutcome::NonInferior, Some(50.0)));
    assert_eq!(gate(51.0).outcome, GateOutcome::CannotTell);
    assert_eq!(gate(51.0).method, Method::Extremes);
}

/// A prompt that is longer by 980 tokens has them in every case: there is nothing to resample, and nothing to doubt.
#[test]
fn a_difference_that_all_cases_share_is_concluded_from_the_test_alone() {
    let names: Vec<String> = (0..20).map(|cluster| format!("c{cluster}")).collect();
    let longer = |by: &dyn Fn(usize) -> f64| {
        let pairs = names.iter().enumerate().map(|(at, cluster)| Pair { cluster, a: 744.0, b: 744.0 + by(at) });
        let plan = Plan { direction: Direction::LowerIsBetter, ..plan(Scale::Real, 0.0) };
        compare(&pairs.collect::<Vec<_>>(), &plan).unwrap()
    };
    let everywhere = longer(&|_| 980.0);
    assert_eq!((everywhere.conclusion, everywhere.ci_low), (Conclusion::Worse, None));
    let here_and_there = longer(&|at| if at < 3 { 980.0 } else { 0.0 });
    assert_eq!((here_and_there.conclusion, here_and_there.ci_low), (Conclusion::CannotTell, None));
}

/// One of 86 captures differs: what a comparison says it finds at least, and what is planned from it, are one number.
#[test]
fn a_plan_promises_what_the_comparison_finds() {
    let names: Vec<String> = (0..86).map(|cluster| format!("c{cluster}")).collect();
    let score = |at: usize| f64::from(u8::from(at == 3));
    let pairs: Vec<_> = names.iter().enumerate().map(|(at, cluster)| Pair { cluster, a: 0.0, b: score(at) }).collect();
    let plan = Plan { direction: Direction::HigherIsBetter, scale: Scale::Unit, margin: 0.0, seed: 1 };
    let mde = compare(&pairs, &plan).unwrap().mde.unwrap();
    let spread = power::spread(mde, 86).unwrap();
    assert!((power::power(mde, spread, 86).unwrap() - power::POWER).abs() < 0.02);
    assert!(power::clusters_needed(mde / 2.0, spread).unwrap() > 4 * 80);
    assert_eq!(power::power(1.0, spread, FEWEST_CLUSTERS - 1).unwrap(), 0.0);
    assert_eq!(power::clusters_needed(1.0, 0.1).unwrap(), FEWEST_CLUSTERS);
}
