//! The asking of one question, which is prepared while the one before it is answered.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use opentelemetry::Context;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{Instrument, Span};

use super::error::HarnessError;
use super::spans;
use crate::analyze::{self, Ask, Respondent};
use crate::digest::Budget;
use crate::experiment::Profile;
use crate::golden::Case;
use crate::installation::{Installation, Shelf};
use crate::llama::{Client, Patient, Retry};
use crate::run::{Answer, Plan};
use crate::telemetry::{meters, trace_id};

/// How long the question before has to leave: what is prepared at the same moment would hold it up.
const HEAD_START: Duration = Duration::from_millis(5);

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

/// A question's turn with its server; the next one has it when this is dropped. Absent if none will come.
pub(super) type Turn = Option<OwnedSemaphorePermit>;

/// What all questions of a session are asked with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) installation: &'a Installation,
    pub(super) shelf: &'a Shelf,
    pub(super) patience: Duration,
}

/// A question's arm: its plan, the span of its run, the server of its model.
#[derive(Debug, Clone)]
pub(super) struct Arm<'a> {
    pub(super) plan: &'a Plan,
    pub(super) span: &'a Span,
    pub(super) client: Option<Client>,
}

impl Asker<'_> {
    /// Prepares a question and asks it when its turn has come, again while the surroundings fail and patience lasts, in a
    /// trace of its own that leads to its run. The turn is given back with the answer: it ends when that is written down.
    pub(super) async fn ask(
        self,
        arm: Arm<'_>,
        question: Question,
        turns: Arc<Semaphore>,
    ) -> (Turn, Result<Answer, HarnessError>) {
        let mut coming = pin!(turns.acquire_owned());
        let here = tokio::time::timeout(HEAD_START, &mut coming).await;
        let turn = async {
            match here {
                Ok(turn) => turn.ok(),
                Err(_) => coming.await.ok(),
            }
        };
        match self.shelf.case(question.case) {
            Err(problem) => (turn.await, Err(problem.into())),
            Ok(case) => {
                let span = spans::case(arm.plan, &case.id, question.repeat, arm.span);
                self.ask_about(arm, case, question.repeat, turn).instrument(span).await
            }
        }
    }

    async fn ask_about(
        self,
        arm: Arm<'_>,
        case: Case,
        repeat: u32,
        turn: impl Future<Output = Turn>,
    ) -> (Turn, Result<Answer, HarnessError>) {
        let plan = arm.plan;
        let (turn, answered) = self.answer(arm, case, repeat, turn).await;
        let answer = answered.map(|(case, answer, call)| {
            spans::answered(&Span::current(), &answer);
            let ontology = self.installation.pipeline.prompts.ontologies().get(&plan.pipeline.ontology);
            spans::scored(plan, &case, &answer, ontology, call);
            answer
        });
        (turn, answer)
    }

    /// The answer, and the model call that it came from.
    async fn answer(
        self,
        Arm { plan, client, .. }: Arm<'_>,
        mut case: Case,
        repeat: u32,
        turn: impl Future<Output = Turn>,
    ) -> (Turn, Result<(Case, Answer, Option<Context>), HarnessError>) {
        let pipeline = &self.installation.pipeline;
        let ask = limits(plan);
        let (span, clock) = (analyze::span(), Instant::now());
        let window = std::mem::take(&mut case.window);
        let prepared = span.in_scope(|| pipeline.prepare(window, &plan.arm.choice, ask.budget));
        let preparing = clock.elapsed();
        let turn = turn.await;

        let retry = Retry { budget: self.patience, seed: seed(plan, &case.id, repeat), ..Retry::default() };
        let patient = client.as_ref().map(|client| Patient::new(client, retry));
        let respondent = patient.as_ref().map_or(Respondent::Rules, Respondent::Model);
        // `at` is for people. Durations come from the monotonic clock, so that a wall clock that jumps changes none.
        let (at, clock) = (Utc::now(), Instant::now());
        let asked = async { pipeline.ask(prepared?, &plan.arm.choice, &respondent, &ask).await };
        let analysis = match asked.instrument(span).await {
            Ok(analysis) => analysis,
            Err(reason) => return (turn, Err(HarnessError::Arm { arm: plan.arm.name.clone(), reason })),
        };
        let lost = patient.as_ref().map_or(Duration::ZERO, Patient::lost);
        let latency = preparing + clock.elapsed().saturating_sub(lost);
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
            latency_ms: latency.as_secs_f64() * 1e3,
            attempts: patient.as_ref().map_or(0, Patient::attempts),
            trace_id: trace_id(),
        };
        (turn, Ok((case, answer, patient.as_ref().and_then(Patient::call).cloned())))
    }
}

fn limits(plan: &Plan) -> Ask {
    Ask {
        budget: Budget { tokens: plan.arm.digest_tokens, bytes_per_token: plan.model.spec.bytes_per_token },
        sampling: plan.arm.sampling,
        cache_prompt: plan.experiment.profile == Profile::Throughput,
        timeout: Duration::from_secs_f64(plan.experiment.timeout_s),
        context_tokens: plan.model.context_tokens,
    }
}

/// Jitter that differs between questions and not between two executions.
fn seed(plan: &Plan, case: &str, repeat: u32) -> u64 {
    let text = format!("{}/{case}/{repeat}", plan.arm.name);
    text.bytes().fold(plan.experiment.seed, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)))
}
