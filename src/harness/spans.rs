//! The spans of a session, and the event of a score.
//!
//! A case is a trace of its own that links to its run: a trace id then names one answer, and a run of any length fits
//! what a trace store takes for one trace.

use opentelemetry::Context;
use tracing::field::Empty;
use tracing::{Level, Span, info_span};

use super::publish::scores;
use crate::experiment::Choice;
use crate::golden::Case;
use crate::ontology::Ontology;
use crate::run::{Answer, Plan};
use crate::score::{self, Metric, Unit};
use crate::semconv::{self, gen_ai};
use crate::stats::Direction;
use crate::telemetry::failed;

/// A session: the arms of an experiment, run together.
pub(super) fn experiment(plan: &Plan) -> Span {
    info_span!(
        "experiment",
        { semconv::EXPERIMENT } = plan.experiment.name,
        { semconv::SESSION } = plan.session,
        { semconv::DATASET } = plan.dataset.name,
        { semconv::DATASET_SHA256 } = plan.dataset.sha256,
    )
}

/// One arm of it.
pub(super) fn run(plan: &Plan) -> Span {
    let prompt = match &plan.arm.choice {
        Choice::Prompt(id) => Some(id),
        Choice::Route => None,
    };
    info_span!(
        "run",
        { semconv::RUN } = plan.id,
        { semconv::ARM } = plan.arm.name,
        { semconv::DATASET } = plan.dataset.name,
        { semconv::DATASET_SHA256 } = plan.dataset.sha256,
        { gen_ai::REQUEST_MODEL } = plan.arm.model,
        { gen_ai::PROMPT_NAME } = prompt.map(|id| id.name.as_str()),
        { gen_ai::PROMPT_VERSION } = prompt.map(|id| id.version.to_string()),
    )
}

/// One question of a run.
pub(super) fn case(plan: &Plan, case: &str, repeat: u32, run: &Span) -> Span {
    let span = info_span!(
        parent: None,
        "case",
        otel.status_code = Empty,
        { semconv::RUN } = plan.id,
        { semconv::ARM } = plan.arm.name,
        { semconv::DATASET } = plan.dataset.name,
        { semconv::CASE } = case,
        { semconv::CASE_REPEAT } = repeat,
        { semconv::CASE_ATTEMPTS } = Empty,
        { semconv::VERDICT_CLASS } = Empty,
        { semconv::ERROR_TYPE } = Empty,
    );
    span.follows_from(run);
    span
}

/// How a question ended, on the span of its case.
pub(super) fn answered(span: &Span, answer: &Answer) {
    span.record(semconv::CASE_ATTEMPTS, answer.attempts).record(semconv::VERDICT_CLASS, answer.class.as_str());
    if !answer.is_finished() {
        failed(span, answer.class.as_str());
    }
}

/// Tells the scores of an answer, where somebody listens: of the model call that they judge, as the conventions have it,
/// or of the case if no model was asked. Times and tokens are no judgement and stand in the spans.
pub(super) fn scored(plan: &Plan, case: &Case, answer: &Answer, ontology: Option<&Ontology>, call: Option<Context>) {
    let listened_to = tracing::event_enabled!(Level::INFO);
    let Some(ontology) = ontology.filter(|_| listened_to && answer.is_finished()) else { return };
    let _there = call.map(Context::attach);
    for (metric, value) in scores(case, answer, ontology) {
        if matches!(metric.unit(), Unit::Milliseconds | Unit::Tokens) {
            continue;
        }
        tracing::event!(name: gen_ai::EVALUATION_RESULT, Level::INFO, {
            { gen_ai::EVALUATION_NAME } = metric.as_str(),
            { gen_ai::EVALUATION_SCORE_VALUE } = value,
            { gen_ai::EVALUATION_SCORE_LABEL } = label(metric, value),
            { semconv::RUN } = plan.id,
            { semconv::CASE } = answer.case,
            { semconv::CASE_REPEAT } = answer.repeat,
            { semconv::SCORER_VERSION } = score::VERSION,
        }, "scored");
    }
}

/// The word for a score that is right or wrong. To abstain is neither by itself.
fn label(metric: Metric, value: f64) -> Option<&'static str> {
    if metric == Metric::Abstained {
        return None;
    }
    let best = match metric.direction() {
        Direction::HigherIsBetter => 1.0,
        Direction::LowerIsBetter => 0.0,
    };
    metric.is_binary().then_some(if value == best { "pass" } else { "fail" })
}
