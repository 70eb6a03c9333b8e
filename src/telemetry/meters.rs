//! What is counted and measured, for whoever runs the pipeline.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::metrics::Meter;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::Registry;

use super::drift::Drift;
use super::instrument::{Counter, Gauge, Histogram, Labels};
use crate::analyze::Analysis;
use crate::experiment::Choice;
use crate::guard::Ruling;
use crate::ledger::Record;
use crate::model::{ModelError, Reply};
use crate::prompt::PromptId;
use crate::run::RunRecord;
use crate::semconv::{self, gen_ai};
use crate::stats::Estimate;
use crate::verdict::Outcome;

/// Bounds of inference times, in seconds: a small model on a CPU takes minutes for what a service does in one second.
const INFERENCE: [f64; 17] =
    [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0];

/// Bounds of digest bytes per byte of the window. A short window's digest is longer than the window.
const RATIO: [f64; 11] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];

/// Figures of runs: twenty-odd runs of one session, each metric with both ends of its interval.
const MAX_FIGURES: usize = 2_000;

/// What a prompt is called where a route chooses it.
const ROUTED: &str = "route";

/// The instruments of the process.
#[derive(Debug)]
pub struct Meters {
    registry: Mutex<Registry>,
    duration: Histogram,
    first_chunk: Histogram,
    input_tokens: Counter,
    cached_tokens: Counter,
    output_tokens: Counter,
    verdicts: Counter,
    digest_ratio: Histogram,
    guard: Counter,
    cache: Counter,
    queue: Gauge,
    waiting: AtomicI64,
    drift: Gauge,
    newest: Mutex<Drift>,
    runs: Gauge,
    dropped: Counter,
}

/// The instruments of this process.
pub fn meters() -> &'static Meters {
    static METERS: LazyLock<Meters> = LazyLock::new(Meters::default);
    &METERS
}

impl Default for Meters {
    fn default() -> Self {
        let mut registry = Registry::default();
        let r = &mut registry;
        let (first_chunk, tokens) = (gen_ai::INFERENCE_TIME_TO_FIRST_CHUNK, "{token}");
        Self {
            duration: Histogram::new(
                r,
                gen_ai::INFERENCE_DURATION,
                "s",
                "From the request to the last byte of the answer, or to the failure",
                &INFERENCE,
            ),
            first_chunk: Histogram::new(r, first_chunk, "s", "From the request to the first token", &INFERENCE),
            input_tokens: Counter::new(r, gen_ai::INFERENCE_INPUT_TOKENS, tokens, "Tokens of prompts, cached included"),
            cached_tokens: Counter::new(
                r,
                gen_ai::INFERENCE_CACHE_READ_INPUT_TOKENS,
                tokens,
                "Tokens of prompts that came from a cache",
            ),
            output_tokens: Counter::new(r, gen_ai::INFERENCE_OUTPUT_TOKENS, tokens, "Tokens of answers"),
            verdicts: Counter::new(r, semconv::VERDICTS, "{verdict}", "Answers by class, severity, prompt and model"),
            digest_ratio: Histogram::new(r, semconv::DIGEST_RATIO, "", "Bytes of the digest per byte of logs", &RATIO),
            guard: Counter::new(r, semconv::GUARD_DECISIONS, "{decision}", "What the guard said about queries"),
            cache: Counter::new(r, semconv::CACHE_LOOKUPS, "{lookup}", "Questions by what the verdict cache had"),
            queue: Gauge::new(r, semconv::QUEUE_DEPTH, "{question}", "Questions that wait for a model"),
            waiting: AtomicI64::new(0),
            newest: Mutex::default(),
            drift: Gauge::new(r, semconv::DRIFT, "", "Shares of the newest live answers"),
            runs: Gauge::new(r, semconv::RUN_METRIC, "", "Metrics of finished runs, with their intervals")
                .at_most(MAX_FIGURES),
            dropped: Counter::new(r, semconv::DROPPED, "{item}", "Telemetry that did not arrive"),
            registry: Mutex::new(registry),
        }
    }
}

impl Meters {
    /// Counts for OTLP as well from now on.
    pub(super) fn connect(&self, meter: &Meter) {
        [&self.duration, &self.first_chunk, &self.digest_ratio].iter().for_each(|one| one.connect(meter));
        [&self.queue, &self.drift, &self.runs].iter().for_each(|one| one.connect(meter));
        let counters = [
            &self.input_tokens,
            &self.cached_tokens,
            &self.output_tokens,
            &self.verdicts,
            &self.guard,
            &self.cache,
            &self.dropped,
        ];
        counters.iter().for_each(|one| one.connect(meter));
    }

    /// All of it as OpenMetrics text, without its last line.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // A String takes whatever is written to it.
        let _ = encode_registry(&mut text, &registry);
        text
    }

    /// A model was asked and answered, or not, within `took`.
    pub(crate) fn inference(&self, model: &str, result: &Result<Reply, ModelError>, took: Duration) {
        let common = [
            (gen_ai::OPERATION_NAME, gen_ai::CHAT),
            (gen_ai::PROVIDER_NAME, gen_ai::LLAMA_CPP),
            (gen_ai::REQUEST_MODEL, model),
        ];
        let with = |name, value| [&common[..], &[(name, value)]].concat();
        match result {
            Ok(reply) => {
                self.duration.record(took.as_secs_f64(), &common);
                if let Some(ms) = reply.timings.first_token_ms {
                    self.first_chunk.record(ms / 1e3, &common);
                }
                let tokens = with(gen_ai::TOKEN_MODALITY, gen_ai::TEXT);
                self.input_tokens.add(reply.usage.prompt_tokens.into(), &tokens);
                self.cached_tokens.add(reply.usage.cached_tokens.into(), &tokens);
                self.output_tokens.add(reply.usage.completion_tokens.into(), &tokens);
            }
            Err(error) => {
                let class = Outcome::of_error(error).class.as_str();
                self.duration.record(took.as_secs_f64(), &with(semconv::ERROR_TYPE, class));
                let none = with(gen_ai::TOKEN_MODALITY, gen_ai::UNKNOWN);
                self.input_tokens.add(0, &none);
                self.output_tokens.add(0, &none);
            }
        }
    }

    /// The pipeline answered; `model` is the model's name, or `rules`.
    pub fn answered(&self, analysis: &Analysis<'_>, model: &str) {
        let (prompt, version) = named(&analysis.prepared.prompt.id);
        let severity = analysis.outcome.verdict.as_ref().map_or("none", |verdict| verdict.severity.as_str());
        self.verdicts.add(
            1,
            &[
                (semconv::VERDICT_CLASS, analysis.outcome.class.as_str()),
                (semconv::VERDICT_SEVERITY, severity),
                (gen_ai::PROMPT_NAME, &prompt),
                (gen_ai::PROMPT_VERSION, &version),
                (gen_ai::REQUEST_MODEL, model),
            ],
        );
        let (digest, window) = (analysis.prepared.digest.text.len(), analysis.prepared.window.bytes());
        if window > 0 {
            self.digest_ratio.record(digest as f64 / window as f64, &[(gen_ai::PROMPT_NAME, &prompt)]);
        }
    }

    /// The guard ruled on a query.
    pub fn guarded(&self, ruling: &Ruling) {
        self.guard.add(1, &[(semconv::GUARD_DECISION, ruling.as_str())]);
    }

    /// A question was looked up among the verdicts that are kept: `fresh`, `stale` or `miss`.
    pub fn looked_up(&self, result: &'static str) {
        self.cache.add(1, &[(semconv::CACHE_RESULT, result)]);
    }

    /// One more question waits, or (-1) one fewer.
    pub fn queued(&self, change: i64) {
        let depth = self.waiting.fetch_add(change, Ordering::Relaxed) + change;
        self.queue.set(depth as f64, &[]);
    }

    /// A live question was answered: what the newest answers with its prompt have in common now.
    pub fn observed(&self, record: &Record) {
        let Ok(prompt) = record.asked.prompt.parse() else { return };
        let (prompt, version) = named(&prompt);
        let shares = self.newest.lock().unwrap_or_else(PoisonError::into_inner).take(record);
        for (signal, share) in shares {
            let labels =
                [(semconv::DRIFT_SIGNAL, signal), (gen_ai::PROMPT_NAME, &*prompt), (gen_ai::PROMPT_VERSION, &*version)];
            self.drift.set(share, &labels);
        }
    }

    /// A run was published.
    pub fn finished(&self, record: &RunRecord) {
        let plan = &record.plan;
        let (prompt, version) = match &plan.arm.choice {
            Choice::Prompt(id) => named(id),
            Choice::Route => (ROUTED.to_owned(), String::new()),
        };
        for (metric, estimate) in &record.metrics {
            let labels = [
                (semconv::METRIC_NAME, metric.as_str()),
                (gen_ai::PROMPT_NAME, &*prompt),
                (gen_ai::PROMPT_VERSION, &*version),
                (gen_ai::REQUEST_MODEL, &*plan.arm.model),
                (semconv::DATASET, &*plan.dataset.name),
                (semconv::ARM, &*plan.arm.name),
            ];
            self.estimate(estimate, &labels);
        }
    }

    fn estimate(&self, estimate: &Estimate, labels: Labels<'_>) {
        let figures = [("value", Some(estimate.value)), ("low", estimate.ci_low), ("high", estimate.ci_high)];
        for (which, figure) in figures {
            if let Some(figure) = figure {
                self.runs.set(figure, &[labels, &[(semconv::ESTIMATE, which)]].concat());
            }
        }
    }

    /// Telemetry did not arrive.
    pub(super) fn dropped(&self, signal: &'static str, reason: &'static str, count: u64) {
        self.dropped.add(count, &[(semconv::SIGNAL, signal), (semconv::REASON, reason)]);
    }
}

fn named(prompt: &PromptId) -> (String, String) {
    (prompt.name.clone(), prompt.version.to_string())
}
