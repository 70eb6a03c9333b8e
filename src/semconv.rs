//! The names that telemetry goes by: OpenTelemetry's, at one version, and our own under `assay.`.
//!
//! Generative AI: semantic-conventions-genai **v0.1.0**, the first release since they left the main repository, all of
//! it in development. Everything else: semantic-conventions **v1.45.0**. A new version is a change to this file and to
//! `docs/telemetry.md`, which explains each name; a test holds the two together.
//!
//! Names of v0.1.0 that older dashboards know otherwise: `gen_ai.client.inference.duration` was
//! `gen_ai.client.operation.duration`, the counters `gen_ai.client.inference.usage.*` were the histogram
//! `gen_ai.client.token.usage`, `time_to_first_chunk` is the time to the first token.

/// The version of the generative AI conventions.
pub const GENAI_VERSION: &str = "0.1.0";
/// The version of the conventions that they build on, and its schema.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.45.0";

/// What a span of a model call says of the request and of the answer.
pub mod gen_ai {
    /// What was asked for: [`CHAT`].
    pub const OPERATION_NAME: &str = "gen_ai.operation.name";
    /// The one operation there is.
    pub const CHAT: &str = "chat";
    /// Whose API it is: [`LLAMA_CPP`].
    pub const PROVIDER_NAME: &str = "gen_ai.provider.name";
    /// No well-known value fits a llama-server of one's own.
    pub const LLAMA_CPP: &str = "llama.cpp";
    /// The model's name in `models.toml`.
    pub const REQUEST_MODEL: &str = "gen_ai.request.model";
    /// The kind of answer that is wanted: `json`.
    pub const OUTPUT_TYPE: &str = "gen_ai.output.type";
    /// The prompt's name, such as `triage`.
    pub const PROMPT_NAME: &str = "gen_ai.prompt.name";
    /// The prompt's version, such as `2`.
    pub const PROMPT_VERSION: &str = "gen_ai.prompt.version";
    /// Seed of the sampling.
    pub const REQUEST_SEED: &str = "gen_ai.request.seed";
    /// Whether the answer is streamed: always.
    pub const REQUEST_STREAM: &str = "gen_ai.request.stream";
    /// Upper bound of the answer, in tokens.
    pub const REQUEST_MAX_TOKENS: &str = "gen_ai.request.max_tokens";
    /// Temperature of the sampling.
    pub const REQUEST_TEMPERATURE: &str = "gen_ai.request.temperature";
    /// Nucleus mass of the sampling.
    pub const REQUEST_TOP_P: &str = "gen_ai.request.top_p";
    /// Why the model stopped, as a list of one.
    pub const RESPONSE_FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
    /// The server's id of the answer.
    pub const RESPONSE_ID: &str = "gen_ai.response.id";
    /// What the server calls the model that answered.
    pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
    /// From the request to the first token, in seconds.
    pub const RESPONSE_TIME_TO_FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
    /// Tokens of the prompt, cached ones included.
    pub const USAGE_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
    /// Tokens of the prompt that came from the server's cache.
    pub const USAGE_CACHE_READ_INPUT_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
    /// Tokens of the answer.
    pub const USAGE_OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
    /// What the tokens stand for: [`TEXT`], or [`UNKNOWN`] where the server counted none.
    pub const TOKEN_MODALITY: &str = "gen_ai.token.modality";
    /// Tokens of text.
    pub const TEXT: &str = "text";
    /// No count was received.
    pub const UNKNOWN: &str = "unknown";

    /// Event of a scored case.
    pub const EVALUATION_RESULT: &str = "gen_ai.evaluation.result";
    /// The metric that was scored.
    pub const EVALUATION_NAME: &str = "gen_ai.evaluation.name";
    /// The score.
    pub const EVALUATION_SCORE_VALUE: &str = "gen_ai.evaluation.score.value";
    /// The score in a word, where it is right or wrong: `pass` or `fail`.
    pub const EVALUATION_SCORE_LABEL: &str = "gen_ai.evaluation.score.label";

    /// Event that carries what was said, where that was asked for; see [`super::CONTENT`].
    pub const OPERATION_DETAILS: &str = "gen_ai.client.inference.operation.details";
    /// The system message.
    pub const SYSTEM_INSTRUCTIONS: &str = "gen_ai.system_instructions";
    /// The user message.
    pub const INPUT_MESSAGES: &str = "gen_ai.input.messages";
    /// The answer.
    pub const OUTPUT_MESSAGES: &str = "gen_ai.output.messages";

    /// Histogram, seconds: from the request to the last byte of the answer, or to the failure.
    pub const INFERENCE_DURATION: &str = "gen_ai.client.inference.duration";
    /// Histogram, seconds: from the request to the first token.
    pub const INFERENCE_TIME_TO_FIRST_CHUNK: &str = "gen_ai.client.inference.time_to_first_chunk";
    /// Counter: tokens of prompts, cached ones included.
    pub const INFERENCE_INPUT_TOKENS: &str = "gen_ai.client.inference.usage.input_tokens";
    /// Counter: tokens of prompts that came from a cache.
    pub const INFERENCE_CACHE_READ_INPUT_TOKENS: &str = "gen_ai.client.inference.usage.cache_read.input_tokens";
    /// Counter: tokens of answers.
    pub const INFERENCE_OUTPUT_TOKENS: &str = "gen_ai.client.inference.usage.output_tokens";
}

/// What kind of failure ended an operation: a failure class or an HTTP status.
pub const ERROR_TYPE: &str = "error.type";
/// Host of the server that was asked.
pub const SERVER_ADDRESS: &str = "server.address";
/// Its port.
pub const SERVER_PORT: &str = "server.port";
/// Method of an HTTP request.
pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
/// Status of its response.
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
/// Its path, without what varies and without the query.
pub const URL_TEMPLATE: &str = "url.template";
/// The protocol of a remote call: `grpc`.
pub const RPC_SYSTEM_NAME: &str = "rpc.system.name";
/// The method of a remote call, with its service.
pub const RPC_METHOD: &str = "rpc.method";

/// The target of the one event that carries content. Nothing lets it pass but an exporter that was asked for content.
pub const CONTENT: &str = "assay::content";

/// SHA-256 of the prompt's file.
pub const PROMPT_TEMPLATE_SHA256: &str = "assay.prompt.template.sha256";
/// Hash of both messages as they were sent, see [`crate::hash::of_text`].
pub const PROMPT_RENDERED_HASH: &str = "assay.prompt.rendered.hash";
/// Hash of the answer's text, of the same kind.
pub const OUTPUT_HASH: &str = "assay.output.hash";
/// The rule that chose the prompt; absent if it was named.
pub const ROUTE: &str = "assay.route.name";
/// SHA-256 of everything that is known of the model: file or fingerprint, build, context, slots, threads, template.
pub const MODEL_CONFIG_SHA256: &str = "assay.model.config.sha256";
/// Whether the server might reuse a prompt's beginning.
pub const CACHE_PROMPT: &str = "assay.llama.cache_prompt";
/// Time that the server spent on the prompt, in milliseconds, as it reports it.
pub const LLAMA_PROMPT_MS: &str = "assay.llama.prompt_ms";
/// Time that the server spent on the answer, in milliseconds, as it reports it.
pub const LLAMA_DECODE_MS: &str = "assay.llama.decode_ms";

/// Entries of the window.
pub const WINDOW_ENTRIES: &str = "assay.window.entries";
/// Streams of the window.
pub const WINDOW_STREAMS: &str = "assay.window.streams";
/// Bytes of its lines.
pub const WINDOW_BYTES: &str = "assay.window.bytes";
/// Secrets that were replaced.
pub const REDACTIONS: &str = "assay.redactions";
/// Most tokens that the digest may have.
pub const DIGEST_BUDGET: &str = "assay.digest.budget_tokens";
/// Tokens of the digest, as estimated.
pub const DIGEST_TOKENS: &str = "assay.digest.tokens";
/// Bytes of the digest.
pub const DIGEST_BYTES: &str = "assay.digest.bytes";
/// Templates in the digest.
pub const DIGEST_TEMPLATES: &str = "assay.digest.templates";
/// Templates that the budget left out.
pub const DIGEST_OMITTED_TEMPLATES: &str = "assay.digest.omitted_templates";
/// Entries that the budget left out.
pub const DIGEST_OMITTED_ENTRIES: &str = "assay.digest.omitted_entries";

/// How an answer ended: a failure class, or `ok`.
pub const VERDICT_CLASS: &str = "assay.verdict.class";
/// Severity of the verdict.
pub const VERDICT_SEVERITY: &str = "assay.verdict.severity";
/// Root cause of the verdict: a label of the ontology.
pub const VERDICT_ROOT_CAUSE: &str = "assay.verdict.root_cause";
/// Ids that the verdict cites.
pub const VERDICT_EVIDENCE: &str = "assay.verdict.evidence";

/// Type of a query, such as `analyze`.
pub const QUERY_TYPE: &str = "assay.query.type";
/// Its refId in Grafana.
pub const QUERY_REF_ID: &str = "assay.query.ref_id";
/// Status of its answer, as in HTTP.
pub const QUERY_STATUS: &str = "assay.query.status";
/// Whether an alert rule asked.
pub const QUERY_FROM_ALERT: &str = "assay.query.from_alert";
/// Queries of one request.
pub const QUERY_COUNT: &str = "assay.query.count";
/// Frames of one answer.
pub const FRAME_COUNT: &str = "assay.frame.count";
/// Bytes of the encoded frames.
pub const FRAME_BYTES: &str = "assay.frame.bytes";

/// Who asked a live question: `panel`, `alert`, `standing` or `direct`.
pub const PURPOSE: &str = "assay.live.purpose";
/// Whether the last verdict stands because the logs have kept their shape.
pub const REUSED: &str = "assay.live.reused";
/// Event: how a live question ended.
pub const ANSWER: &str = "assay.live.answer";
/// What the guard does about a query over a limit: `off`, `warn` or `enforce`.
pub const GUARD_MODE: &str = "assay.guard.mode";
/// What it said: `pass`, `warn` or `refuse`.
pub const GUARD_DECISION: &str = "assay.guard.decision";
/// Entries that Loki gave.
pub const LOKI_ENTRIES: &str = "assay.loki.entries";
/// Whether they are all there are.
pub const LOKI_COMPLETE: &str = "assay.loki.complete";

/// Name of an experiment.
pub const EXPERIMENT: &str = "assay.experiment.name";
/// Runs that were started together.
pub const SESSION: &str = "assay.session.id";
/// Id of a run.
pub const RUN: &str = "assay.run.id";
/// Name of its arm.
pub const ARM: &str = "assay.arm.name";
/// Name of its dataset.
pub const DATASET: &str = "assay.dataset.name";
/// SHA-256 over the dataset's cases.
pub const DATASET_SHA256: &str = "assay.dataset.sha256";
/// Id of a case.
pub const CASE: &str = "assay.case.id";
/// Which repeat of it, from 0.
pub const CASE_REPEAT: &str = "assay.case.repeat";
/// How often the model was asked, retries included.
pub const CASE_ATTEMPTS: &str = "assay.case.attempts";
/// Version of the scorers.
pub const SCORER_VERSION: &str = "assay.scorer.version";

/// Counter: answers by class, severity, prompt and model.
pub const VERDICTS: &str = "assay.verdicts";
/// Histogram: bytes of the digest per byte of the window.
pub const DIGEST_RATIO: &str = "assay.digest.ratio";
/// Counter: what the guard said.
pub const GUARD_DECISIONS: &str = "assay.guard.decisions";
/// Counter: questions by what the verdict cache had: [`CACHE_RESULT`].
pub const CACHE_LOOKUPS: &str = "assay.cache.lookups";
/// `fresh`, `stale` or `miss`.
pub const CACHE_RESULT: &str = "assay.cache.result";
/// Gauge: questions that wait for a model.
pub const QUEUE_DEPTH: &str = "assay.queue.depth";
/// Gauge: a share of the newest live answers, by [`DRIFT_SIGNAL`] and prompt.
pub const DRIFT: &str = "assay.drift.share";
/// `abstained`, `ungrounded`, `failed` or `unseen_templates`.
pub const DRIFT_SIGNAL: &str = "assay.drift.signal";
/// Gauge: a metric of a finished run, by [`METRIC_NAME`], [`ESTIMATE`], prompt, model, dataset and arm.
pub const RUN_METRIC: &str = "assay.run.metric";
/// Name of the metric.
pub const METRIC_NAME: &str = "assay.metric.name";
/// `value`, or `low` or `high`: the ends of its 95 % interval.
pub const ESTIMATE: &str = "assay.estimate";
/// Counter: spans, log records and metric collections that did not arrive, by [`SIGNAL`] and [`REASON`].
pub const DROPPED: &str = "assay.telemetry.dropped";
/// `traces`, `logs` or `metrics`.
pub const SIGNAL: &str = "assay.telemetry.signal";
/// `queue_full`, or `export_failed`.
pub const REASON: &str = "assay.telemetry.reason";
