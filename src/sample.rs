//! Sample history: months of nights resampled from real runs, so that dashboards and alert rules can be developed and
//! seen full before a night has passed.
//!
//! Every outcome in it was given by a model to that very case; a night draws which one. Two things are invented and
//! marked: the times, and one *change* from which on an arm gets the worst outcomes that its case ever had, or none in
//! time. Nothing here is evidence of anything: a run says in its record, its id and its title that it is a sample, and
//! is never compared with a real one. The same runs, story and seed give the same nights.

mod live;

use std::collections::BTreeMap;

pub use live::Slot;

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use crate::experiment::Kind;
use crate::run::{Answer, CaseResult, Plan, Run};
use crate::score::Metric;
use crate::stats::Direction;
use crate::verdict::Class;

/// What the name of an experiment ends with once it is resampled: names stand where no notice is seen.
const MARK: &str = " (sample)";

/// When nights begin, in hours of UTC.
const HOUR: u32 = 2;
/// The night whose runs become baselines: the first of a history in which something can still happen.
const PINNED: u32 = 1;
/// Nights between two gates.
const GATE_EVERY: u32 = 7;

/// Share of cases that get another run's outcome on any night: models are not that steady.
const RESTLESS: f64 = 0.05;
/// Shares of cases that get their worst outcome, and no outcome in time, once the change has come.
const WORSE: f64 = 0.9;
const LATE: f64 = 0.5;
/// How much longer an answer takes then.
const SLOWER: f64 = 1.4;

/// What the history is to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Story {
    /// Nights, one run of each arm in each.
    pub nights: u32,
    /// Nights since the system changed for the worse, the last one included; 0 for never.
    pub changed: u32,
    /// The moment before which the last night lies.
    pub until: DateTime<Utc>,
    /// Seed of every draw.
    pub seed: u64,
}

impl Story {
    /// When a night begins, counted from 0; `None` beyond the calendar.
    pub fn begin(&self, night: u32) -> Option<DateTime<Utc>> {
        let hour = NaiveTime::from_hms_opt(HOUR, 0, 0)?;
        let last = self.until.date_naive().and_time(hour).and_utc();
        let last = if last > self.until { last.checked_sub_days(Days::new(1))? } else { last };
        last.checked_sub_days(Days::new(u64::from(self.nights.checked_sub(night + 1)?)))
    }

    /// Whether the system has changed by that night.
    pub fn is_changed(&self, night: u32) -> bool {
        night + self.changed >= self.nights
    }

    /// Whether the system had changed at a moment: from the first changed night on.
    pub fn is_changed_at(&self, at: DateTime<Utc>) -> bool {
        let first = self.begin(self.nights.saturating_sub(self.changed));
        self.changed > 0 && first.is_none_or(|first| at >= first)
    }

    /// Whether that night's runs are pinned as baselines: the second, or the only one.
    pub fn is_pinned(&self, night: u32) -> bool {
        night == PINNED.min(self.nights.saturating_sub(1))
    }

    /// Whether a gate is asked that night.
    pub fn is_gated(&self, night: u32) -> bool {
        let since = night.saturating_sub(PINNED);
        since > 0 && (since.is_multiple_of(GATE_EVERY) || night + 1 == self.nights)
    }
}

/// The runs that nights are drawn from, by case.
#[derive(Debug)]
pub struct Sampler<'r> {
    story: Story,
    /// What models answered to each case, in the order of the runs.
    outcomes: BTreeMap<&'r str, Vec<&'r CaseResult>>,
    /// The worst of them.
    worst: BTreeMap<&'r str, &'r CaseResult>,
}

impl<'r> Sampler<'r> {
    /// Gathers what models answered; the rule baseline always answers the same and lends nothing.
    pub fn new(story: Story, runs: &'r [Run]) -> Self {
        let mut outcomes: BTreeMap<&str, Vec<&CaseResult>> = BTreeMap::new();
        for run in runs.iter().filter(|run| asks_a_model(&run.record.plan)) {
            for row in &run.results {
                outcomes.entry(&row.answer.case).or_default().push(row);
            }
        }
        let primary = runs.first().map_or(Metric::RootCause, |run| run.record.plan.experiment.primary);
        let worst = outcomes.iter().filter_map(|(case, rows)| Some((*case, worst(rows, primary)?))).collect();
        Self { story, outcomes, worst }
    }

    /// The plan of a night's run of the arm that `run` is of; `None` beyond the calendar.
    pub fn plan(&self, run: &Run, night: u32) -> Option<Plan> {
        let mut plan = run.record.plan.clone();
        plan.sample = true;
        plan.experiment.name.push_str(MARK);
        plan.started = self.story.begin(night)?;
        plan.session = format!("{}-sample", plan.started.format("%Y%m%dT%H%M%S%3fZ"));
        plan.id = format!("{}-{}", plan.session, plan.arm.slug());
        if asks_a_model(&plan) {
            let build = if self.story.is_changed(night) { "sample-build-2" } else { "sample-build-1" };
            plan.model.build_info = Some(build.to_owned());
        }
        Some(plan)
    }

    /// What the arm of `run` answered that night, in the order of its rows.
    pub fn answers(&self, run: &Run, plan: &Plan, night: u32) -> Vec<Answer> {
        let mut rng = generator(self.story.seed, &plan.arm.name, night);
        let drawn = asks_a_model(plan);
        let changed = drawn && self.story.is_changed(night);
        let mut at = plan.started;
        let mut answers = Vec::with_capacity(run.results.len());
        for row in &run.results {
            let draws: [f64; 4] = std::array::from_fn(|_| uniform(&mut rng));
            let mut answer = row.answer.clone();
            if drawn && draws[0] < RESTLESS {
                self.other(&mut answer, draws[1]);
            }
            let pace = (0.85 + 0.3 * draws[1]) * if changed { SLOWER } else { 1.0 };
            stretch(&mut answer, pace);
            if changed && draws[2] < WORSE {
                self.worsen(&mut answer);
            }
            if changed && draws[3] < LATE {
                late(&mut answer, plan.experiment.timeout_s);
            }
            answer.at = at;
            at += TimeDelta::microseconds((answer.latency_ms * 1e3) as i64);
            answers.push(answer);
        }
        answers
    }

    fn other(&self, answer: &mut Answer, draw: f64) {
        let Some(rows) = self.outcomes.get(answer.case.as_str()) else { return };
        let index = (draw * rows.len() as f64) as usize;
        take_outcome(answer, rows[index.min(rows.len() - 1)]);
    }

    fn worsen(&self, answer: &mut Answer) {
        if let Some(worst) = self.worst.get(answer.case.as_str()) {
            take_outcome(answer, worst);
        }
    }
}

fn asks_a_model(plan: &Plan) -> bool {
    plan.model.spec.kind != Kind::Rules
}

fn worst<'r>(rows: &[&'r CaseResult], metric: Metric) -> Option<&'r CaseResult> {
    let sign = if metric.direction() == Direction::HigherIsBetter { 1.0 } else { -1.0 };
    let goodness = |row: &CaseResult| row.scores.get(&metric).map_or(f64::INFINITY, |score| sign * score);
    rows.iter().copied().min_by(|a, b| goodness(a).total_cmp(&goodness(b)))
}

/// How it ended; what was asked stays the arm's own.
fn take_outcome(answer: &mut Answer, row: &CaseResult) {
    answer.class = row.answer.class;
    answer.reason.clone_from(&row.answer.reason);
    answer.verdict.clone_from(&row.answer.verdict);
}

fn stretch(answer: &mut Answer, pace: f64) {
    let timings = &mut answer.timings;
    for ms in [&mut timings.first_token_ms, &mut timings.prompt_ms, &mut timings.decode_ms].into_iter().flatten() {
        *ms *= pace;
    }
    timings.total_ms *= pace;
    answer.latency_ms *= pace;
}

/// No answer within the budget.
fn late(answer: &mut Answer, timeout_s: f64) {
    (answer.class, answer.verdict) = (Class::Timeout, None);
    answer.reason = Some(format!("sample: no answer within {timeout_s} s"));
    answer.latency_ms = timeout_s * 1e3;
    answer.timings.total_ms = answer.latency_ms;
    answer.usage.completion_tokens = 0;
}

/// Draws of one night and arm, which no other night or arm shifts.
fn generator(seed: u64, arm: &str, night: u32) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(Sha256::digest(format!("{seed} {night} {arm}")).into())
}

/// From 0 to 1, without 1.
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(nights: u32, changed: u32, until: &str) -> Story {
        Story { nights, changed, until: until.parse().unwrap(), seed: 1 }
    }

    #[test]
    fn the_last_night_is_the_last_that_has_begun() {
        let begin = |until: &str| story(3, 0, until).begin(2).unwrap().to_rfc3339();
        assert_eq!(begin("2026-11-24T09:00:00Z"), "2026-11-24T02:00:00+00:00");
        assert_eq!(begin("2026-11-24T01:59:59Z"), "2026-11-23T02:00:00+00:00");
        let first = story(3, 0, "2026-11-24T09:00:00Z").begin(0).unwrap();
        assert_eq!(first.to_rfc3339(), "2026-11-22T02:00:00+00:00");
        assert_eq!(story(3, 0, "2026-11-24T09:00:00Z").begin(3), None);
    }

    #[test]
    fn a_change_lasts_until_the_end_and_none_never_comes() {
        let changed = |changed: u32| -> Vec<bool> {
            (0..4).map(|night| story(4, changed, "2026-11-24T09:00:00Z").is_changed(night)).collect()
        };
        assert_eq!(changed(0), [false; 4]);
        assert_eq!(changed(2), [false, false, true, true]);
        assert_eq!(changed(9), [true; 4]);
    }

    #[test]
    fn the_last_night_is_always_gated_and_the_pinned_one_never() {
        let gated = |nights: u32| -> Vec<u32> {
            (0..nights).filter(|night| story(nights, 0, "2026-11-24T09:00:00Z").is_gated(*night)).collect()
        };
        assert_eq!(gated(1), Vec::<u32>::new());
        assert_eq!(gated(3), [2]);
        assert_eq!(gated(17), [8, 15, 16]);
    }
}
