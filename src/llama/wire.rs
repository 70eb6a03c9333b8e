//! llama-server's JSON, as far as it is used. Nobody outside this folder sees these types.
//!
//! Captured from 0.7.0 (b11669) and 0.5.0-dev; unknown fields are ignored, because both add some with every release.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{FinishReason, Question, Timings, Usage};

#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

/// The two messages of every request, and how the chat template is to be applied.
#[derive(Debug, Serialize)]
pub(super) struct Chat<'a> {
    messages: [Message<'a>; 2],
    chat_template_kwargs: TemplateOptions,
}

/// A verdict is all that is wanted: a template that knows how to leave out the thinking is told so.
#[derive(Debug, Serialize)]
struct TemplateOptions {
    enable_thinking: bool,
}

impl<'a> Chat<'a> {
    pub(super) fn new(system: &'a str, user: &'a str) -> Self {
        let messages = [Message { role: "system", content: system }, Message { role: "user", content: user }];
        Self { messages, chat_template_kwargs: TemplateOptions { enable_thinking: false } }
    }
}

/// Body of `POST /v1/chat/completions`.
#[derive(Debug, Serialize)]
pub(super) struct ChatRequest<'a> {
    #[serde(flatten)]
    chat: Chat<'a>,
    response_format: ResponseFormat<'a>,
    // Where the server takes a template for a thinking one, it lets the model think outside the schema, for ever if
    // it likes. `none` makes the schema hold from the first token on.
    reasoning_format: &'static str,
    seed: u32,
    temperature: f64,
    top_p: f64,
    // The server's own defaults (top_k 40, min_p 0.05) would shape the answer without standing in any record.
    top_k: u32,
    min_p: f64,
    repeat_penalty: f64,
    max_tokens: u32,
    cache_prompt: bool,
    stream: bool,
    stream_options: StreamOptions,
    return_progress: bool,
}

#[derive(Debug, Serialize)]
struct ResponseFormat<'a> {
    r#type: &'static str,
    json_schema: JsonSchema<'a>,
}

#[derive(Debug, Serialize)]
struct JsonSchema<'a> {
    name: &'static str,
    strict: bool,
    schema: &'a Value,
}

#[derive(Debug, Serialize)]
struct StreamOptions {
    include_usage: bool,
}

impl<'a> ChatRequest<'a> {
    pub(super) fn new(question: &'a Question, return_progress: bool) -> Self {
        let schema = JsonSchema { name: "verdict", strict: true, schema: &question.schema };
        Self {
            chat: Chat::new(&question.system, &question.user),
            response_format: ResponseFormat { r#type: "json_schema", json_schema: schema },
            reasoning_format: "none",
            seed: question.sampling.seed,
            temperature: question.sampling.temperature,
            top_p: question.sampling.top_p,
            top_k: 0,
            min_p: 0.0,
            repeat_penalty: 1.0,
            max_tokens: question.sampling.max_tokens,
            cache_prompt: question.cache_prompt,
            stream: true,
            stream_options: StreamOptions { include_usage: true },
            return_progress,
        }
    }
}

/// One event of a streamed answer. An error comes in the same place, after HTTP 200.
#[derive(Debug, Deserialize)]
pub(super) struct Chunk {
    // Whatever a server puts here, its answer stands without.
    pub(super) id: Option<Value>,
    pub(super) model: Option<Value>,
    #[serde(default)]
    pub(super) choices: Vec<Choice>,
    pub(super) usage: Option<WireUsage>,
    pub(super) timings: Option<WireTimings>,
    pub(super) prompt_progress: Option<PromptProgress>,
    pub(super) error: Option<WireError>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    pub(super) finish_reason: Option<String>,
    pub(super) delta: Delta,
}

#[derive(Debug, Deserialize)]
pub(super) struct Delta {
    pub(super) content: Option<String>,
    pub(super) reasoning_content: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PromptProgress {
    pub(super) total: u32,
    pub(super) cache: u32,
    pub(super) processed: u32,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireUsage {
    prompt_tokens: u32,
    completion_tokens: u32,
    prompt_tokens_details: Option<PromptTokensDetails>,
}

#[derive(Debug, Deserialize)]
struct PromptTokensDetails {
    cached_tokens: u32,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireTimings {
    cache_n: u32,
    prompt_ms: f64,
    predicted_ms: f64,
}

impl WireUsage {
    /// Without a count of cached tokens in `usage`, that of `timings` stands; they are the same number.
    pub(super) fn resolve(&self, timings: Option<&WireTimings>) -> Usage {
        let details = self.prompt_tokens_details.as_ref().map(|details| details.cached_tokens);
        Usage {
            prompt_tokens: self.prompt_tokens,
            cached_tokens: details.or(timings.map(|timings| timings.cache_n)).unwrap_or(0),
            completion_tokens: self.completion_tokens,
        }
    }
}

impl WireTimings {
    pub(super) fn fill(&self, timings: &mut Timings) {
        timings.prompt_ms = Some(self.prompt_ms);
        timings.decode_ms = Some(self.predicted_ms);
    }
}

/// Longest name that is taken from a server, in bytes.
const MAX_NAME: usize = 128;

/// An answer's id; `None` for what cannot be one.
pub(super) fn answer_id(id: Option<&Value>) -> Option<&str> {
    id?.as_str().filter(|id| is_name(id))
}

/// The model that answered; `None` for what cannot be a name. A server without an alias gives the whole path of its
/// file, whose folders are nobody else's business.
pub(super) fn model_name(model: Option<&Value>) -> Option<&str> {
    let model = model?.as_str()?;
    let is_file = model.starts_with('/') || model.contains('\\') || model.ends_with(".gguf");
    let name = if is_file { model.rsplit(['/', '\\']).next()? } else { model };
    Some(name).filter(|name| is_name(name))
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// `None` for a reason that a plain chat answer cannot have.
pub(super) fn finish_reason(word: &str) -> Option<FinishReason> {
    match word {
        "stop" => Some(FinishReason::Stop),
        "length" => Some(FinishReason::Length),
        _ => None,
    }
}

/// The error object, in a body or in an event.
#[derive(Debug, Default, Deserialize)]
pub(super) struct WireError {
    pub(super) code: Option<u16>,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) r#type: String,
    pub(super) n_prompt_tokens: Option<u32>,
    pub(super) n_ctx: Option<u32>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ErrorBody {
    pub(super) error: WireError,
}

#[derive(Debug, Deserialize)]
pub(super) struct InputTokens {
    pub(super) input_tokens: u32,
}

#[derive(Debug, Deserialize)]
pub(super) struct AppliedTemplate {
    pub(super) prompt: String,
}

#[derive(Debug, Serialize)]
pub(super) struct TokenizeRequest<'a> {
    pub(super) content: &'a str,
    pub(super) add_special: bool,
    pub(super) parse_special: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tokens {
    pub(super) tokens: Vec<u32>,
}

/// `GET /props`, in part.
#[derive(Debug, Deserialize)]
pub(super) struct Props {
    pub(super) default_generation_settings: GenerationSettings,
    pub(super) total_slots: u32,
    #[serde(default)]
    pub(super) model_alias: String,
    #[serde(default)]
    pub(super) model_path: String,
    #[serde(default)]
    pub(super) model_ftype: String,
    #[serde(default)]
    pub(super) chat_template: String,
    pub(super) build_info: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct GenerationSettings {
    pub(super) n_ctx: u32,
}

/// `GET /v1/models`, in part.
#[derive(Debug, Deserialize)]
pub(super) struct Models {
    pub(super) data: Vec<ModelEntry>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ModelEntry {
    pub(super) meta: ModelMeta,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ModelMeta {
    #[serde(default)]
    pub(super) vocab_type: u32,
    pub(super) n_vocab: u32,
    pub(super) n_ctx_train: u32,
    #[serde(default)]
    pub(super) n_embd: u32,
    pub(super) n_params: u64,
    pub(super) size: u64,
    #[serde(default)]
    pub(super) ftype: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Slot {
    pub(super) is_processing: bool,
}
