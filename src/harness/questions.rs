//! Which questions are asked, in which order, how many at once; and the asking of one.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use chrono::Utc;
use opentelemetry::Context;
use tracing::{Instrument, Span};

use super::error::HarnessError;
use super::spans;
use crate::analyze::{Ask, Respondent};
use crate::digest::Budget;
use crate::experiment::Profile;
use crate::golden::Case;
use crate::installation::{Installation, Shelf};
use crate::llama::{Client, Patient, Retry};
use crate::run::{Answer, Plan};
use crate::stream::Window;
use crate::telemetry::{meters, trace_id};

/// One question of one arm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    /// Index of the arm.
    pub(super) arm: usize,
    /// Number of the case that it is about.
    pub(super) case: usize,
    /// Which repeat of it.
    pub(super) repeat: u32,
}

impl Question {
    /// Its number among those of its arm, each case with so many repeats.
    pub(super) fn number(self, repeats: u32) -> usize {
        self.case * repeats as usize + self.repeat as usize
    }
}

/// Questions that wait for one another; lanes do not wait for each other.
#[derive(Debug)]
struct Lane {
    waiting: VecDeque<Question>,
    width: usize,
    busy: usize,
}

/// The open questions of a session, in the order in which they are asked.
#[derive(Debug)]
pub(super) struct Lanes(Vec<Lane>);

impl Lanes {
    /// Sorts questions that come case by case. In the reproducible profile they form one lane, one at a time, all arms
    /// interleaved, so that a drifting machine hits all alike. In the throughput profile each model has a lane as wide
    /// as its slots, arm by arm: neighbours then share a prompt, and its prefix is reused.
    pub(super) fn new(questions: Vec<Question>, plans: &[Plan]) -> Self {
        let throughput = plans.iter().any(|plan| plan.experiment.profile == Profile::Throughput);
        if !throughput {
            return Self(vec![Lane { waiting: questions.into(), width: 1, busy: 0 }]);
        }
        let mut by_model: BTreeMap<&str, Lane> = BTreeMap::new();
        for question in questions {
            let plan = &plans[question.arm];
            let width = plan.model.slots.unwrap_or(1).max(1) as usize;
            let lane = by_model.entry(&plan.arm.model);
            lane.or_insert_with(|| Lane { waiting: VecDeque::new(), width, busy: 0 }).waiting.push_back(question);
        }
        let mut lanes: Vec<Lane> = by_model.into_values().collect();
        for lane in &mut lanes {
            lane.waiting.make_contiguous().sort_by_key(|question| (question.repeat, question.arm));
        }
        Self(lanes)
    }

    /// The next question that may be asked now, with the number of its lane.
    pub(super) fn next(&mut self) -> Option<(usize, Question)> {
        let mut lanes = self.0.iter_mut().enumerate();
        lanes.find_map(|(number, lane)| {
            let free = lane.busy < lane.width;
            let question = if free { lane.waiting.pop_front()? } else { return None };
            lane.busy += 1;
            Some((number, question))
        })
    }

    /// A question of this lane was answered.
    pub(super) fn answered(&mut self, lane: usize) {
        self.0[lane].busy -= 1;
    }

    /// A question of this lane is to be asked again, after all others.
    pub(super) fn again(&mut self, lane: usize, question: Question) {
        self.0[lane].waiting.push_back(question);
    }
}

/// Asks one question, again while the surroundings fail and `patience` lasts, in a trace of its own that leads to `run`.
pub(super) async fn ask(
    installation: &Installation,
    shelf: &Shelf,
    client: Option<Client>,
    patience: Duration,
    plan: &Plan,
    question: Question,
    run: &Span,
) -> Result<Answer, HarnessError> {
    let mut case = shelf.case(question.case)?;
    let window = std::mem::take(&mut case.window);
    let traced = async {
        let asked = answer(installation, client, patience, plan, (&case, window, question.repeat));
        let (answer, call) = asked.await?;
        spans::answered(&Span::current(), &answer);
        let ontology = installation.pipeline.prompts.ontologies().get(&plan.pipeline.ontology);
        spans::scored(plan, &case, &answer, ontology, call);
        Ok(answer)
    };
    traced.instrument(spans::case(plan, &case.id, question.repeat, run)).await
}

/// The answer, and the model call that it came from.
async fn answer(
    installation: &Installation,
    client: Option<Client>,
    patience: Duration,
    plan: &Plan,
    (case, window, repeat): (&Case, Window, u32),
) -> Result<(Answer, Option<Context>), HarnessError> {
    let retry = Retry { budget: patience, seed: seed(plan, &case.id, repeat), ..Retry::default() };
    let patient = client.as_ref().map(|client| Patient::new(client, retry));
    let respondent = patient.as_ref().map_or(Respondent::Rules, Respondent::Model);
    let ask = Ask {
        budget: Budget { tokens: plan.arm.digest_tokens, bytes_per_token: plan.model.spec.bytes_per_token },
        sampling: plan.arm.sampling,
        cache_prompt: plan.experiment.profile == Profile::Throughput,
        timeout: Duration::from_secs_f64(plan.experiment.timeout_s),
        context_tokens: plan.model.context_tokens,
    };
    // `at` is for people. Durations come from the monotonic clock, so that a wall clock that jumps changes none.
    let (at, clock) = (Utc::now(), Instant::now());
    let analysis = installation.pipeline.analyze(window, &plan.arm.choice, &respondent, &ask).await;
    let analysis = analysis.map_err(|reason| HarnessError::Arm { arm: plan.arm.name.clone(), reason })?;
    meters().answered(&analysis, &plan.arm.model);
    let answer = Answer {
        case: case.id.clone(),
        repeat,
        at,
        asked: analysis.prepared.asked(&case.target.decisive),
        class: analysis.outcome.class,
        reason: analysis.outcome.reason,
        verdict: analysis.outcome.verdict,
        usage: analysis.usage,
        timings: analysis.timings,
        latency_ms: clock.elapsed().as_secs_f64() * 1e3,
        attempts: patient.as_ref().map_or(0, Patient::attempts),
        trace_id: trace_id(),
    };
    Ok((answer, patient.as_ref().and_then(Patient::call).cloned()))
}

/// Jitter that differs between questions and not between two executions.
fn seed(plan: &Plan, case: &str, repeat: u32) -> u64 {
    let text = format!("{}/{case}/{repeat}", plan.arm.name);
    text.bytes().fold(plan.experiment.seed, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)))
}
