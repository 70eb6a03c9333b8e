//! The spans of the pipeline: names, numbers and hashes of each stage, and no text of any.
//!
//! Without anybody who records them they cost next to nothing: their values are not even computed.

use std::fmt;
use std::sync::Arc;

use serde_json::json;
use tracing::field::Empty;
use tracing::{Level, Span, info_span};

use super::{Analysis, Ask, Pipeline, Prepared};
use crate::digest::{Budget, Digest};
use crate::model::{Endpoint, FinishReason, ModelError, Reply};
use crate::prompt::Prompt;
use crate::semconv::{self, gen_ai};
use crate::stream::Window;
use crate::verdict::{Class, Outcome};

/// The field in which a span's status is kept.
const STATUS: &str = "otel.status_code";
const FAILED: &str = "ERROR";

/// From the window to the verdict.
pub(super) fn analyze() -> Span {
    info_span!(
        "analyze",
        { STATUS } = Empty,
        { gen_ai::REQUEST_MODEL } = Empty,
        { gen_ai::PROMPT_NAME } = Empty,
        { gen_ai::PROMPT_VERSION } = Empty,
        { semconv::PROMPT_TEMPLATE_SHA256 } = Empty,
        { semconv::PROMPT_RENDERED_HASH } = Empty,
        { semconv::OUTPUT_HASH } = Empty,
        { semconv::ROUTE } = Empty,
        { semconv::VERDICT_CLASS } = Empty,
        { semconv::VERDICT_SEVERITY } = Empty,
        { semconv::VERDICT_ROOT_CAUSE } = Empty,
        { semconv::VERDICT_EVIDENCE } = Empty,
        { semconv::ERROR_TYPE } = Empty,
    )
}

/// Secrets out.
pub(super) fn redact(window: &Window) -> Span {
    info_span!(
        "redact",
        { semconv::WINDOW_ENTRIES } = window.entries.len(),
        { semconv::WINDOW_STREAMS } = window.streams.len(),
        { semconv::WINDOW_BYTES } = window.bytes(),
        { semconv::REDACTIONS } = Empty,
    )
}

/// The excerpt.
pub(super) fn digest(budget: Budget) -> Span {
    info_span!(
        "digest",
        { semconv::DIGEST_BUDGET } = budget.tokens,
        { semconv::DIGEST_TOKENS } = Empty,
        { semconv::DIGEST_BYTES } = Empty,
        { semconv::DIGEST_TEMPLATES } = Empty,
        { semconv::DIGEST_OMITTED_TEMPLATES } = Empty,
        { semconv::DIGEST_OMITTED_ENTRIES } = Empty,
    )
}

/// What came of the excerpt.
pub(super) fn digested(span: &Span, digest: &Digest) {
    span.record(semconv::DIGEST_TOKENS, digest.estimated_tokens)
        .record(semconv::DIGEST_BYTES, digest.text.len())
        .record(semconv::DIGEST_TEMPLATES, digest.templates.len())
        .record(semconv::DIGEST_OMITTED_TEMPLATES, digest.omitted.templates)
        .record(semconv::DIGEST_OMITTED_ENTRIES, digest.omitted.lines);
}

/// Choosing the prompt.
pub(super) fn route() -> Span {
    info_span!("route", { semconv::ROUTE } = Empty)
}

/// The two messages.
pub(super) fn render(prompt: &Prompt) -> Span {
    info_span!(
        "render",
        { gen_ai::PROMPT_NAME } = prompt.id.name,
        { gen_ai::PROMPT_VERSION } = prompt.id.version.to_string(),
        { semconv::PROMPT_TEMPLATE_SHA256 } = prompt.sha256,
        { semconv::PROMPT_RENDERED_HASH } = Empty,
    )
}

/// The model call.
pub(super) fn chat(prepared: &Prepared<'_>, ask: &Ask, endpoint: Option<&Endpoint>) -> Span {
    let unknown = Endpoint::default();
    let endpoint = endpoint.unwrap_or(&unknown);
    info_span!(
        "chat",
        otel.name = format!("{} {}", gen_ai::CHAT, endpoint.model).trim_end(),
        otel.kind = "client",
        { STATUS } = Empty,
        { gen_ai::OPERATION_NAME } = gen_ai::CHAT,
        { gen_ai::PROVIDER_NAME } = gen_ai::LLAMA_CPP,
        { gen_ai::REQUEST_MODEL } = endpoint.model,
        { semconv::SERVER_ADDRESS } = endpoint.address,
        { semconv::SERVER_PORT } = endpoint.port,
        { semconv::MODEL_CONFIG_SHA256 } = endpoint.config_sha256,
        { gen_ai::OUTPUT_TYPE } = "json",
        { gen_ai::PROMPT_NAME } = prepared.prompt.id.name,
        { gen_ai::PROMPT_VERSION } = prepared.prompt.id.version.to_string(),
        { semconv::PROMPT_TEMPLATE_SHA256 } = prepared.prompt.sha256,
        { semconv::PROMPT_RENDERED_HASH } = prepared.rendered.hash,
        { gen_ai::REQUEST_SEED } = ask.sampling.seed,
        { gen_ai::REQUEST_MAX_TOKENS } = ask.sampling.max_tokens,
        { gen_ai::REQUEST_TEMPERATURE } = ask.sampling.temperature,
        { gen_ai::REQUEST_TOP_P } = ask.sampling.top_p,
        { gen_ai::REQUEST_STREAM } = true,
        { semconv::CACHE_PROMPT } = ask.cache_prompt,
        { gen_ai::RESPONSE_ID } = Empty,
        { gen_ai::RESPONSE_MODEL } = Empty,
        { gen_ai::RESPONSE_FINISH_REASONS } = Empty,
        { gen_ai::RESPONSE_TIME_TO_FIRST_CHUNK } = Empty,
        { gen_ai::USAGE_INPUT_TOKENS } = Empty,
        { gen_ai::USAGE_CACHE_READ_INPUT_TOKENS } = Empty,
        { gen_ai::USAGE_OUTPUT_TOKENS } = Empty,
        { semconv::LLAMA_PROMPT_MS } = Empty,
        { semconv::LLAMA_DECODE_MS } = Empty,
        { semconv::ERROR_TYPE } = Empty,
    )
}

/// What came of the model call.
pub(super) fn replied(span: &Span, reply: &Result<Reply, ModelError>) {
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) => {
            failed(span, Outcome::of_error(error).class);
            return;
        }
    };
    let finish = match reply.finish {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
    };
    span.record(gen_ai::RESPONSE_ID, reply.id.as_deref())
        .record(gen_ai::RESPONSE_MODEL, reply.model.as_deref())
        .record(gen_ai::RESPONSE_FINISH_REASONS, finish)
        .record(gen_ai::RESPONSE_TIME_TO_FIRST_CHUNK, reply.timings.first_token_ms.map(|ms| ms / 1e3))
        .record(gen_ai::USAGE_INPUT_TOKENS, reply.usage.prompt_tokens)
        .record(gen_ai::USAGE_CACHE_READ_INPUT_TOKENS, reply.usage.cached_tokens)
        .record(gen_ai::USAGE_OUTPUT_TOKENS, reply.usage.completion_tokens)
        .record(semconv::LLAMA_PROMPT_MS, reply.timings.prompt_ms)
        .record(semconv::LLAMA_DECODE_MS, reply.timings.decode_ms);
}

/// Parsing, checking and classifying.
pub(super) fn verdict() -> Span {
    info_span!(
        "verdict",
        { STATUS } = Empty,
        { semconv::VERDICT_CLASS } = Empty,
        { semconv::VERDICT_SEVERITY } = Empty,
        { semconv::VERDICT_ROOT_CAUSE } = Empty,
        { semconv::VERDICT_EVIDENCE } = Empty,
        { semconv::ERROR_TYPE } = Empty,
    )
}

/// How it ended. A root cause is a label of the ontology; components and summary are the model's own words.
pub(super) fn concluded(span: &Span, outcome: &Outcome) {
    span.record(semconv::VERDICT_CLASS, outcome.class.as_str());
    if let Some(verdict) = &outcome.verdict {
        span.record(semconv::VERDICT_SEVERITY, verdict.severity.as_str())
            .record(semconv::VERDICT_ROOT_CAUSE, verdict.root_cause.as_str())
            .record(semconv::VERDICT_EVIDENCE, verdict.evidence.len());
    }
    if outcome.class.is_model_failure() || outcome.class == Class::InfraError {
        failed(span, outcome.class);
    }
}

/// What was asked and how it ended, on the span of the whole analysis; `model` is empty for one that was not named.
pub(super) fn analyzed(span: &Span, analysis: &Analysis<'_>, model: &str) {
    if span.is_disabled() {
        return;
    }
    let prepared = &analysis.prepared;
    span.record(gen_ai::REQUEST_MODEL, model)
        .record(gen_ai::PROMPT_NAME, prepared.prompt.id.name.as_str())
        .record(gen_ai::PROMPT_VERSION, prepared.prompt.id.version.to_string())
        .record(semconv::PROMPT_TEMPLATE_SHA256, prepared.prompt.sha256.as_str())
        .record(semconv::PROMPT_RENDERED_HASH, prepared.rendered.hash.as_str())
        .record(semconv::OUTPUT_HASH, analysis.output_hash.as_deref())
        .record(semconv::ROUTE, prepared.routed.as_ref().map(|routed| routed.route.as_str()));
    concluded(span, &analysis.outcome);
}

fn failed(span: &Span, class: Class) {
    span.record(STATUS, FAILED).record(semconv::ERROR_TYPE, class.as_str());
}

/// Whether what is said to a model may be told ([`semconv::CONTENT`]): asked each time, because who listens may have changed.
/// By default it may, and it is left to the process whether anybody listens.
#[derive(Clone)]
pub struct Consent(Arc<dyn Fn() -> bool + Send + Sync>);

impl Default for Consent {
    fn default() -> Self {
        Self::when(|| true)
    }
}

impl fmt::Debug for Consent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Consent").field(&self.is_given()).finish()
    }
}

impl Consent {
    /// Given whenever this is true.
    pub fn when(condition: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(condition))
    }

    /// Whether it is given now.
    pub fn is_given(&self) -> bool {
        (self.0)()
    }
}

/// Says what was said, redacted, to whoever explicitly asked for it and may hear it: see [`semconv::CONTENT`].
pub(super) fn content(prepared: &Prepared<'_>, reply: &Result<Reply, ModelError>, pipeline: &Pipeline) {
    if !pipeline.consent.is_given() {
        return;
    }
    let part = |text: &str| {
        let lines: Vec<_> = text.lines().map(|line| pipeline.redactor.redact(line)).collect();
        json!({ "type": "text", "content": lines.join("\n") })
    };
    let message = |role: &str, text: &str| json!([{ "role": role, "parts": [part(text)] }]).to_string();
    tracing::event!(name: gen_ai::OPERATION_DETAILS, target: semconv::CONTENT, Level::DEBUG, {
        { gen_ai::OPERATION_NAME } = gen_ai::CHAT,
        { gen_ai::SYSTEM_INSTRUCTIONS } = json!([part(&prepared.rendered.system)]).to_string(),
        { gen_ai::INPUT_MESSAGES } = message("user", &prepared.rendered.user),
        { gen_ai::OUTPUT_MESSAGES } = reply.as_ref().ok().map(|reply| message("assistant", &reply.text)),
    });
}
