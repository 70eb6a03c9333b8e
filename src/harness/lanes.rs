//! Which questions are asked, in which order, how many at once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::questions::Question;
use crate::experiment::Profile;
use crate::run::Plan;

/// Questions that wait for one another; lanes do not wait for each other.
#[derive(Debug)]
struct Lane {
    /// Indices of the arms whose questions these are.
    arms: Vec<usize>,
    cases: usize,
    repeats: usize,
    /// Arm by arm, or case by case over all arms.
    by_arm: bool,
    /// Place of the next question in that order.
    next: usize,
    /// To be asked again, after all others.
    again: VecDeque<Question>,
    /// How many are asked at a time.
    width: usize,
    under_way: usize,
    /// A turn for each that is asked; as many again are prepared and wait for theirs.
    turns: Arc<Semaphore>,
}

/// The questions of a session, in the order in which they are asked. None is kept: each follows from its place.
#[derive(Debug)]
pub(super) struct Lanes(Vec<Lane>);

impl Lanes {
    /// In the reproducible profile there is one lane, one question at a time, case by case over all arms, so that a
    /// drifting machine hits all alike. In the throughput profile each model has a lane as wide as its slots, arm by arm:
    /// neighbours then share a prompt, and its prefix is reused.
    pub(super) fn new(plans: &[Plan], cases: usize) -> Self {
        let repeats = plans.iter().map(|plan| plan.experiment.repeats).max().unwrap_or(1) as usize;
        let throughput = plans.iter().any(|plan| plan.experiment.profile == Profile::Throughput);
        if !throughput {
            return Self(vec![Lane::new((0..plans.len()).collect(), cases, repeats, false, 1)]);
        }
        let mut by_model: BTreeMap<&str, (Vec<usize>, u32)> = BTreeMap::new();
        for (arm, plan) in plans.iter().enumerate() {
            let slots = plan.model.slots.unwrap_or(1).max(1);
            by_model.entry(&plan.arm.model).or_insert_with(|| (Vec::new(), slots)).0.push(arm);
        }
        Self(
            by_model.into_values().map(|(arms, slots)| Lane::new(arms, cases, repeats, true, slots as usize)).collect(),
        )
    }

    /// The next question that may be prepared now if it `is_open`, with the number of its lane and the turns there.
    pub(super) fn next(&mut self, is_open: impl Fn(Question) -> bool) -> Option<(usize, Question, Arc<Semaphore>)> {
        let mut lanes = self.0.iter_mut().enumerate();
        lanes.find_map(|(number, lane)| {
            let question = if lane.under_way < 2 * lane.width { lane.take(&is_open)? } else { return None };
            lane.under_way += 1;
            Some((number, question, Arc::clone(&lane.turns)))
        })
    }

    /// A question of this lane was answered.
    pub(super) fn answered(&mut self, lane: usize) {
        self.0[lane].under_way -= 1;
    }

    /// A question of this lane is to be asked again, after all others.
    pub(super) fn again(&mut self, lane: usize, question: Question) {
        self.0[lane].again.push_back(question);
    }
}

impl Lane {
    fn new(arms: Vec<usize>, cases: usize, repeats: usize, by_arm: bool, width: usize) -> Self {
        let (again, turns) = (VecDeque::new(), Arc::new(Semaphore::new(width)));
        Self { arms, cases, repeats, by_arm, next: 0, again, width, under_way: 0, turns }
    }

    fn take(&mut self, is_open: impl Fn(Question) -> bool) -> Option<Question> {
        while let Some(question) = self.at(self.next) {
            self.next += 1;
            if is_open(question) {
                return Some(question);
            }
        }
        self.again.pop_front()
    }

    /// The question at a place of the lane's order.
    fn at(&self, place: usize) -> Option<Question> {
        let each = self.arms.len() * self.cases;
        let (repeat, place) = (place.checked_div(each)?, place.checked_rem(each)?);
        let (arm, case) = if self.by_arm {
            (place / self.cases, place % self.cases)
        } else {
            (place % self.arms.len(), place / self.arms.len())
        };
        let question = Question { arm: *self.arms.get(arm)?, case, repeat: u32::try_from(repeat).ok()? };
        (repeat < self.repeats).then_some(question)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(mut lanes: Lanes, is_open: impl Fn(Question) -> bool) -> Vec<(usize, usize, u32)> {
        let mut asked = Vec::new();
        while let Some((lane, question, _)) = lanes.next(&is_open) {
            lanes.answered(lane);
            asked.push((question.arm, question.case, question.repeat));
        }
        asked
    }

    #[test]
    fn arms_alternate_case_by_case_or_follow_each_other() {
        let lane = |by_arm| Lanes(vec![Lane::new(vec![0, 2], 2, 2, by_arm, 1)]);
        let expected = [(0, 0, 0), (2, 0, 0), (0, 1, 0), (2, 1, 0), (0, 0, 1), (2, 0, 1), (0, 1, 1), (2, 1, 1)];
        assert_eq!(order(lane(false), |_| true), expected);
        let expected = [(0, 0, 0), (0, 1, 0), (2, 0, 0), (2, 1, 0), (0, 0, 1), (0, 1, 1), (2, 0, 1), (2, 1, 1)];
        assert_eq!(order(lane(true), |_| true), expected);
        assert_eq!(order(lane(false), |question| question.arm == 2 && question.repeat == 1), [(2, 0, 1), (2, 1, 1)]);
        assert_eq!(order(Lanes(vec![Lane::new(vec![0], 0, 1, false, 1)]), |_| true), []);
    }

    #[test]
    fn one_question_per_turn_is_prepared_ahead_and_the_failed_come_last() {
        let mut lanes = Lanes(vec![Lane::new(vec![0], 6, 1, true, 2)]);
        let taken: Vec<Question> = std::iter::from_fn(|| Some(lanes.next(|_| true)?.1)).collect();
        assert_eq!(taken.len(), 4, "two are asked, two are prepared");
        lanes.answered(0);
        lanes.again(0, taken[0]);
        let mut left = Vec::new();
        while let Some((lane, question, _)) = lanes.next(|_| true) {
            lanes.answered(lane);
            left.push(question.case);
        }
        assert_eq!(left, [4, 5, 0]);
    }
}
