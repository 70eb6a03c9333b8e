//! The span of a live question, and the event that says how it ended: names, hashes and classes, and no text.

use tracing::field::Empty;
use tracing::{Level, Span, info_span};

use super::failure::Failure;
use super::record::Done;
use crate::ledger::Purpose;
use crate::prompt::PromptId;
use crate::semconv::{self, gen_ai};
use crate::telemetry::failed;

/// From Loki to the verdict.
pub(super) fn answer(purpose: Purpose) -> Span {
    info_span!(
        "answer",
        otel.status_code = Empty,
        { semconv::PURPOSE } = purpose.as_str(),
        { semconv::REUSED } = Empty,
        { semconv::ERROR_TYPE } = Empty,
    )
}

/// How it ended. A failure's own words may quote the query or Loki, and are for who asked.
pub(super) fn answered(span: &Span, purpose: Purpose, result: &Result<Done, Failure>) {
    let _inside = span.enter();
    let record = match result {
        Ok(Done { record, .. }) => record,
        Err(failure) => {
            let status = failure.status().to_string();
            failed(span, &status);
            tracing::event!(name: semconv::ANSWER, Level::INFO, {
                { semconv::PURPOSE } = purpose.as_str(),
                { semconv::ERROR_TYPE } = status,
            }, "a question has no verdict");
            return;
        }
    };
    span.record(semconv::REUSED, record.reused);
    if record.verdict.is_none() {
        failed(span, record.class.as_str());
    }
    let prompt: Option<PromptId> = record.asked.prompt.parse().ok();
    let verdict = record.verdict.as_ref();
    tracing::event!(name: semconv::ANSWER, Level::INFO, {
        { semconv::PURPOSE } = purpose.as_str(),
        { semconv::REUSED } = record.reused,
        { gen_ai::PROMPT_NAME } = prompt.as_ref().map(|id| id.name.as_str()),
        { gen_ai::PROMPT_VERSION } = prompt.as_ref().map(|id| id.version.to_string()),
        { gen_ai::REQUEST_MODEL } = record.model,
        { semconv::VERDICT_CLASS } = record.class.as_str(),
        { semconv::VERDICT_SEVERITY } = verdict.map(|verdict| verdict.severity.as_str()),
        { semconv::VERDICT_ROOT_CAUSE } = verdict.map(|verdict| verdict.root_cause.as_str()),
    }, "a question was answered");
}
