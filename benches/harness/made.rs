//! Runs whose records and rows have the size of real ones: every metric, four splits, five families, no two cases alike.

use assay::golden::Split;
use assay::run::{CaseResult, Plan, Run};
use assay::score::{Metric, Unit};

use crate::store::{plan, result, run_of};

const FAMILIES: [&str; 5] = ["kube-system", "logging", "llm-inference", "gitops", "monitoring"];

/// A run of `cases` cases, two to a capture or one, of which it gets about `percent` of a hundred right.
pub(crate) fn run(id: &str, arm: &str, cases: usize, per_capture: usize, percent: usize) -> Run {
    let mut plan: Plan = plan(id, arm);
    plan.dataset.cases = cases;
    run_of(plan, (0..cases).map(|case| row(case, per_capture, percent)).collect())
}

fn row(case: usize, per_capture: usize, percent: usize) -> CaseResult {
    let mut row = result(case, drawn(case, percent) < percent);
    row.cluster = format!("c-{:05}", case / per_capture);
    row.split = Split::ALL[case % Split::ALL.len()];
    row.family = FAMILIES[case / 7 % FAMILIES.len()].to_owned();
    row.answer.latency_ms = 700.0 + drawn(case, percent + 1) as f64 * 3.7;
    row.scores.extend(Metric::ALL.into_iter().enumerate().map(|(place, metric)| {
        let drawn = drawn(case, percent + 100 * place);
        let value = match metric.unit() {
            Unit::Share if place % 3 == 0 => f64::from(u8::from(drawn < percent)),
            Unit::Share => drawn as f64 / 100.0,
            Unit::Steps | Unit::Count => (drawn % 4) as f64,
            Unit::Milliseconds | Unit::Tokens => 700.0 + drawn as f64 * 3.7,
        };
        (metric, value)
    }));
    row
}

/// A number below 100 that looks drawn and is the same each time (SplitMix64's mixing).
fn drawn(case: usize, salt: usize) -> usize {
    let mut word = (case as u64).wrapping_add((salt as u64) << 32).wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((word ^ (word >> 31)) % 100) as usize
}
