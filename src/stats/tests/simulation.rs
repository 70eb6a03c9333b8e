//! Draws worlds where the truth is known and counts how often the answers are right.
//!
//! Every count here is exact under its seed. The margins around nominal rates are three standard errors of a share
//! over that many worlds, and what a method is known to miss is stated where it is tested.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::stats::compare::{Draws, Paired};
use crate::stats::estimate::estimate_with;
use crate::stats::resample::{Purpose, generator};
use crate::stats::special::normal_quantile;
use crate::stats::*;

const WORLDS: usize = 800;

/// What clusters and their cases are like.
#[derive(Clone, Copy)]
struct World {
    clusters: usize,
    /// Clusters have from one to this many cases.
    longest: usize,
    /// The chance that a case does as its cluster does, in both runs.
    copied: f64,
    outcome: Outcome,
}

#[derive(Clone, Copy)]
enum Outcome {
    /// Right or wrong; a cluster is right with one of three chances in run a, and `better` by that much in run b.
    Binary { better: f64 },
    /// Log-normal seconds with a difficulty that both runs share.
    Seconds,
    /// Milliseconds of run b beyond run a's: a tenth of the clusters is slower by an exponential second.
    Slower,
}

fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// Box & Muller 1958, Annals of Mathematical Statistics 29:610-611.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    (-2.0 * libm::log(uniform(rng))).sqrt() * libm::cos(std::f64::consts::TAU * uniform(rng))
}

impl World {
    fn draw<'a>(&self, names: &'a [String], rng: &mut ChaCha8Rng) -> Vec<Pair<'a>> {
        let mut pairs = Vec::new();
        for cluster in &names[..self.clusters] {
            let chance = [0.5, 0.7, 0.8][(uniform(rng) * 3.0) as usize];
            let common = self.outcome.draw(chance, rng);
            for _ in 0..1 + (uniform(rng) * self.longest as f64) as usize {
                let own = self.outcome.draw(chance, rng);
                let (a, b) = if uniform(rng) < self.copied { common } else { own };
                pairs.push(Pair { cluster, a, b });
            }
        }
        pairs
    }
}

impl Outcome {
    fn draw(self, chance: f64, rng: &mut ChaCha8Rng) -> (f64, f64) {
        match self {
            Self::Binary { better } => {
                let mut right = |chance: f64| f64::from(u8::from(uniform(rng) < chance));
                (right(chance), right(chance + better))
            }
            Self::Slower => {
                let hit = uniform(rng) < 0.1;
                (0.0, 30.0 * normal(rng) - if hit { 1000.0 * libm::log(uniform(rng)) } else { 0.0 })
            }
            Self::Seconds => {
                let difficulty = normal(rng);
                (libm::exp(difficulty + 0.5 * normal(rng)), libm::exp(difficulty + 0.5 * normal(rng)))
            }
        }
    }

    fn direction(self) -> Direction {
        if matches!(self, Self::Slower) { Direction::LowerIsBetter } else { Direction::HigherIsBetter }
    }

    fn scale(self) -> Scale {
        if matches!(self, Self::Binary { .. }) { Scale::Unit } else { Scale::Real }
    }
}

/// Shares of worlds.
#[derive(Default)]
struct Rates {
    significant: f64,
    better_or_worse: f64,
    equivalent: f64,
    non_inferior: f64,
    covered: f64,
    mean_mde: f64,
}

/// Compares in many worlds whose true difference is `truth`, with fewer draws than [`compare`] makes.
fn rates(world: World, truth: f64, margin: f64) -> Rates {
    let names = names(world.clusters);
    let mut rates = Rates::default();
    let share = |hit: bool| f64::from(u8::from(hit)) / WORLDS as f64;
    for seed in 0..WORLDS as u64 {
        let plan = Plan { direction: world.outcome.direction(), scale: world.outcome.scale(), margin, seed };
        let pairs = world.draw(&names, &mut generator(seed, Purpose::Simulation));
        let mut paired = Paired::new(&pairs, &plan).unwrap();
        paired.draws = Draws { replicates: 300, flips: 199 };
        let found = paired.compare(&plan);
        rates.significant += share(found.p_value <= ALPHA);
        rates.better_or_worse += share(matches!(found.conclusion, Conclusion::Better | Conclusion::Worse));
        rates.equivalent += share(found.conclusion == Conclusion::Equivalent);
        if margin > 0.0 {
            rates.non_inferior += share(paired.gate(&plan).outcome == GateOutcome::NonInferior);
        }
        rates.mean_mde += found.mde.unwrap_or_default() / WORLDS as f64;
        rates.covered += share(found.ci_low.unwrap() <= truth && truth <= found.ci_high.unwrap());
    }
    rates
}

fn names(clusters: usize) -> Vec<String> {
    (0..clusters).map(|cluster| format!("c{cluster:03}")).collect()
}

/// Three standard errors of a share that is `rate` in truth.
fn noise(rate: f64) -> f64 {
    3.0 * (rate * (1.0 - rate) / WORLDS as f64).sqrt()
}

#[track_caller]
fn assert_between(found: f64, low: f64, high: f64) {
    assert!((low..=high).contains(&found), "{found} is not from {low} to {high}");
}

const CAPTURES: World = World { clusters: 40, longest: 5, copied: 0.5, outcome: Outcome::Binary { better: 0.0 } };

#[test]
fn equal_runs_over_clustered_cases_are_told_apart_at_the_nominal_rate() {
    let rates = rates(CAPTURES, 0.0, 0.0);
    assert_between(rates.significant, 0.02, ALPHA + noise(ALPHA));
    assert_between(rates.better_or_worse, 0.02, ALPHA + noise(ALPHA));
    assert_between(rates.covered, 0.95 - noise(0.95), 0.98);
}

/// Exact McNemar stays below its nominal rate, because few counts are possible.
#[test]
fn equal_runs_over_single_binary_cases_are_told_apart_at_most_at_the_nominal_rate() {
    let rates = rates(World { longest: 1, ..CAPTURES }, 0.0, 0.0);
    assert_between(rates.better_or_worse, 0.01, ALPHA + noise(ALPHA));
    assert_between(rates.covered, 0.95 - noise(0.95), 0.985);
}

/// With tails as long as a latency's, the interval covers some 3 points less than it says at 20 clusters.
#[test]
fn equal_latencies_are_told_apart_at_the_nominal_rate() {
    let rates = rates(World { clusters: 20, longest: 3, copied: 0.5, outcome: Outcome::Seconds }, 0.0, 0.0);
    assert_between(rates.significant, 0.03, ALPHA + noise(ALPHA));
    assert_between(rates.better_or_worse, 0.025, ALPHA + noise(ALPHA));
    assert_between(rates.covered, 0.93 - noise(0.93), 0.97);
}

#[test]
fn a_loss_of_exactly_the_margin_is_rarely_called_equivalent_or_let_through() {
    let rates = rates(World { outcome: Outcome::Binary { better: -0.15 }, ..CAPTURES }, -0.15, 0.15);
    assert_between(rates.equivalent, 0.0, 0.025 + noise(0.025));
    assert_between(rates.non_inferior, 0.02, 0.05 + noise(0.05));
    assert_between(rates.covered, 0.95 - noise(0.95), 0.98);
}

/// A percentile bound lets three times as many through as it says.
#[test]
fn a_tenth_of_the_captures_slowed_by_the_margin_in_the_mean_is_rarely_let_through() {
    let world = World { clusters: 86, longest: 1, copied: 1.0, outcome: Outcome::Slower };
    let rates = rates(world, 100.0, 100.0);
    assert_between(rates.non_inferior, 0.02, 0.05 + noise(0.05));
}

/// The minimum detectable effect promises 80 %; an exact test of few counts keeps a little less.
#[test]
fn a_difference_of_the_minimum_detectable_effect_is_found_as_often_as_promised() {
    let world = World { clusters: 60, longest: 3, copied: 0.5, outcome: Outcome::Binary { better: 0.17 } };
    let rates = rates(world, 0.17, 0.0);
    assert_between(rates.mean_mde, 0.16, 0.18);
    assert_between(rates.better_or_worse, 0.7, 0.85);
}

/// The share of worlds in which the interval of run *b*'s rate covers the truth.
fn coverage_of_rate(better: f64, truth: f64) -> f64 {
    let world = World { outcome: Outcome::Binary { better }, ..CAPTURES };
    let names = names(world.clusters);
    let covered = (0..WORLDS as u64).filter(|seed| {
        let pairs = world.draw(&names, &mut generator(*seed, Purpose::Simulation));
        let values = Clustered::new(pairs.iter().map(|pair| (pair.cluster, pair.b)), Scale::Unit).unwrap();
        let found = estimate_with(&[&values], *seed, |_| 300).remove(0).unwrap();
        found.ci_low.unwrap() <= truth && truth <= found.ci_high.unwrap()
    });
    covered.count() as f64 / WORLDS as f64
}

#[test]
fn the_interval_of_a_rate_covers_it() {
    assert_between(coverage_of_rate(0.0, 2.0 / 3.0), 0.95 - noise(0.95), 0.975);
}

/// One case in sixty wrong: mostly fewer than six clusters show any, and the exact bound errs wide.
#[test]
fn the_interval_of_a_rate_near_one_covers_it() {
    assert_between(coverage_of_rate(0.45, (0.95 + 1.0 + 1.0) / 3.0), 0.95 - noise(0.95), 1.0);
}

/// Counting cases that share a capture as independent covers far less than 95 %.
#[test]
fn the_interval_of_a_clustered_quantile_covers_it() {
    let world = World { clusters: 60, longest: 9, copied: 0.7, outcome: Outcome::Seconds };
    let names = names(world.clusters);
    // Logarithms are normal with variance 1 + 0.5².
    let truth = libm::exp(normal_quantile(0.8) * 1.25f64.sqrt());
    let covers = |found: QuantileEstimate| found.ci_low.unwrap() <= truth && truth <= found.ci_high.unwrap();
    let (mut clustered, mut independent) = (0.0, 0.0);
    for seed in 0..WORLDS as u64 {
        let pairs = world.draw(&names, &mut generator(seed, Purpose::Simulation));
        let values: Vec<f64> = pairs.iter().map(|pair| pair.a).collect();
        independent += f64::from(u8::from(covers(quantile(&values, 0.8).unwrap().unwrap())));
        let cases = pairs.iter().map(|pair| (pair.cluster, pair.a));
        clustered += f64::from(u8::from(covers(clustered_quantile(cases, 0.8).unwrap().unwrap())));
    }
    assert_between(clustered / WORLDS as f64, 0.95 - noise(0.95), 0.98);
    assert!(independent / (WORLDS as f64) < 0.85);
}

/// Some captures, watched for some nights against one pinned baseline; from one night on, they are right less often.
struct Watch {
    clusters: usize,
    nights: usize,
    changed_on: usize,
    drop: f64,
}

impl Watch {
    /// What the nights show, and the most that a product over all of them would have shown.
    fn run(&self, seed: u64) -> (Drift, f64) {
        let names = names(self.clusters);
        let mut rng = generator(seed, Purpose::Simulation);
        let chances: Vec<f64> = names.iter().map(|_| 0.4 + 0.6 * uniform(&mut rng)).collect();
        let mut outcomes = |drop: f64| -> Vec<f64> {
            chances.iter().map(|chance| f64::from(u8::from(uniform(&mut rng) < chance - drop))).collect()
        };
        let baseline = outcomes(0.0);
        let (mut drift, mut all, mut most) = (Drift::default(), Vec::new(), 0.0f64);
        for night in 0..self.nights {
            let tonight = outcomes(if night >= self.changed_on { self.drop } else { 0.0 });
            let scores = names.iter().zip(baseline.iter().zip(&tonight));
            let pairs: Vec<Pair<'_>> = scores.map(|(cluster, (&a, &b))| Pair { cluster, a, b }).collect();
            drift.observe(&pairs, Direction::HigherIsBetter).unwrap();
            all.extend(pairs.iter().map(|pair| pair.b - pair.a));
            most = most.max(drift::evidence(&all, -1.0));
        }
        (drift, most)
    }
}

#[test]
fn an_unchanged_system_raises_no_alarm_however_many_nights_are_read() {
    let watch = Watch { clusters: 40, nights: 30, changed_on: 0, drop: 0.0 };
    let histories: Vec<(Drift, f64)> = (0..300).map(|seed| watch.run(seed)).collect();
    let alarms = histories.iter().filter(|(drift, _)| drift.change().is_some()).count();
    assert!(alarms as f64 <= 0.05 * 300.0, "{alarms} of 300 unchanged systems raised an alarm");
    let multiplied = histories.iter().filter(|(_, most)| *most >= 20.0).count();
    assert!(multiplied > 60, "multiplying nights that share a baseline would have raised only {multiplied} of 300");
}

/// Outcomes that change from night to night by themselves as often as these do hide smaller drops: of 20 points,
/// six in ten are found within ten nights.
#[test]
fn a_system_that_became_worse_raises_the_alarm() {
    let watch = Watch { clusters: 120, nights: 20, changed_on: 10, drop: 0.3 };
    let found = (0..40).filter(|seed| watch.run(*seed).0.change() == Some(drift::Change::Worse)).count();
    assert!(found >= 36, "only {found} of 40 drops by 30 points were found within ten nights");
}
