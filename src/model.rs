//! The port to a language model: what is asked, what comes back, and how it fails.
//!
//! A failure is classed by what it says about the *model* or about the *surroundings*: the first scores zero and
//! stays in the denominator, the second is retried and then leaves the case without a score.

use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Sampling parameters sent with every request; defaults are those of a reproducible run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// 0 is greedy decoding.
    pub temperature: f64,
    /// Nucleus mass, 0 to 1.
    pub top_p: f64,
    /// llama-server draws a random seed unless it is given one.
    pub seed: u32,
    /// Upper bound of the answer, in tokens.
    pub max_tokens: u32,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_p: 1.0, seed: 1, max_tokens: 256 }
    }
}

/// One question to a model: two chat messages and the JSON schema that its answer must satisfy.
#[derive(Debug, Clone)]
pub struct Question {
    /// The system message: instructions and ontology, byte-stable for one prompt version.
    pub system: String,
    /// The user message, which ends with the digest.
    pub user: String,
    /// JSON schema of the answer, turned into a grammar by llama-server.
    pub schema: Value,
    /// Sampling parameters.
    pub sampling: Sampling,
    /// Whether the server may reuse the prefix of an earlier prompt: faster, but not bit-identical.
    pub cache_prompt: bool,
    /// Budget for the whole answer, from sending to the last byte.
    pub timeout: Duration,
}

/// Why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// It ended its answer.
    Stop,
    /// It ran into `max_tokens` or the context window: the text is cut and must not be parsed.
    Length,
}

/// Token counts as the server reports them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the whole prompt, cached ones included.
    pub prompt_tokens: u32,
    /// Prompt tokens that came from the cache.
    pub cached_tokens: u32,
    /// Tokens of the answer.
    pub completion_tokens: u32,
}

/// Durations of one answer, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// From sending the request to the last byte, measured by the client.
    pub total_ms: f64,
    /// From sending the request to the first token, measured by the client; `None` if nothing was streamed.
    pub first_token_ms: Option<f64>,
    /// Prompt processing, reported by the server.
    pub prompt_ms: Option<f64>,
    /// Decoding, reported by the server.
    pub decode_ms: Option<f64>,
}

/// A model's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The text of the answer.
    pub text: String,
    /// Why it ended.
    pub finish: FinishReason,
    /// Token counts.
    pub usage: Usage,
    /// Durations.
    pub timings: Timings,
    /// The server's own id of the answer, if it gives one.
    pub id: Option<String>,
    /// What the server calls the model that answered, without the folders of its file.
    pub model: Option<String>,
}

impl Reply {
    /// A reply that nobody counted or timed.
    pub fn of(text: String, finish: FinishReason) -> Self {
        Self { text, finish, usage: Usage::default(), timings: Timings::default(), id: None, model: None }
    }
}

/// What can go wrong between question and reply.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// The surroundings failed: connection, 5xx, garbage, a half body, a server that is still loading. Retryable.
    #[error("model server at {url}: {reason}")]
    Infra {
        /// Where the server was expected, without credentials.
        url: String,
        /// What happened, in words.
        reason: String,
    },
    /// No answer within the question's budget.
    #[error("no answer from {url} within {} s", .budget.as_secs_f64())]
    Timeout {
        /// Where the server was expected.
        url: String,
        /// The budget that was used up.
        budget: Duration,
    },
    /// The prompt does not fit the server's context window.
    #[error("the prompt has {prompt_tokens} tokens, the context of one slot {context_tokens}")]
    ContextOverflow {
        /// Prompt size as the server counts it.
        prompt_tokens: u32,
        /// Context size of one slot.
        context_tokens: u32,
    },
    /// The server read only part of the prompt and answered all the same.
    #[error("the server read {counted} prompt tokens of about {sent}: it cut the prompt, its answer is not trusted")]
    PromptCut {
        /// Prompt tokens as the server counted them for this answer.
        counted: u32,
        /// Prompt tokens that it should have read.
        sent: u32,
    },
    /// The model wrote something that the server itself could not read against the schema.
    #[error("the model's output does not satisfy the schema: {reason}")]
    Output {
        /// The server's explanation, bounded in length.
        reason: String,
    },
    /// The request can never succeed as it is: bad key, rejected schema, unknown endpoint. Not retried.
    #[error("model server at {url} refuses the request ({status}): {reason}")]
    Refused {
        /// Where the server was expected.
        url: String,
        /// HTTP status.
        status: u16,
        /// The server's explanation, bounded in length.
        reason: String,
    },
}

/// Who answers, as telemetry names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The model's name in `models.toml`; empty if it was not told.
    pub model: String,
    /// SHA-256 of everything that is known of the model.
    pub config_sha256: Option<String>,
    /// Host that is asked.
    pub address: String,
    /// Port that is asked.
    pub port: Option<u16>,
}

/// Something that answers questions about logs: a llama-server, or recorded replies in tests of the harness.
pub trait Model: Send + Sync {
    /// Asks one question. Cancel-safe: dropping the future frees the server's slot.
    fn ask(&self, question: &Question) -> impl Future<Output = Result<Reply, ModelError>> + Send;

    /// Tokens of `system` + `user` as the server will count them, chat template included.
    fn count_tokens(&self, system: &str, user: &str) -> impl Future<Output = Result<u32, ModelError>> + Send;

    /// Who it is, where that is known.
    fn endpoint(&self) -> Option<&Endpoint> {
        None
    }
}
