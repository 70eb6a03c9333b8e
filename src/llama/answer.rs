//! One streamed answer, put together event by event.
//!
//! An answer counts only when it was finished: a reason to stop, token counts and the closing mark. Anything less is
//! an error, because half an answer looks like a bad model.

use std::time::Instant;

use crate::model::{FinishReason, ModelError, Reply, Timings, Usage};

use super::client::Progress;
use super::error::{infra, of_wire};
use super::wire::{Choice, Chunk, WireTimings, WireUsage, answer_id, finish_reason, model_name};

/// The last event of a complete answer.
const DONE: &str = "[DONE]";

/// What was received so far.
#[derive(Debug)]
pub(super) struct Answer {
    sent: Instant,
    text: String,
    finish: Option<FinishReason>,
    usage: Option<WireUsage>,
    wire_timings: Option<WireTimings>,
    first_token_ms: Option<f64>,
    id: Option<String>,
    model: Option<String>,
    done: bool,
}

impl Answer {
    /// Nothing received; `sent` is when the request left.
    pub(super) fn new(sent: Instant) -> Self {
        Self {
            sent,
            text: String::new(),
            finish: None,
            usage: None,
            wire_timings: None,
            first_token_ms: None,
            id: None,
            model: None,
            done: false,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Takes in one event and reports what is new in it.
    pub(super) fn take(
        &mut self,
        url: &str,
        event: &str,
        on_progress: &mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<(), ModelError> {
        if event.trim() == DONE {
            self.done = true;
            return Ok(());
        }
        let chunk: Chunk =
            serde_json::from_str(event).map_err(|error| infra(url, format!("an event cannot be read: {error}")))?;
        if let Some(error) = chunk.error {
            return Err(of_wire(url, error.code.unwrap_or(500), &error));
        }
        if let Some(prompt) = chunk.prompt_progress {
            on_progress(Progress::Prompt { processed: prompt.processed, cached: prompt.cache, total: prompt.total });
        }
        self.id = self.id.take().or_else(|| answer_id(chunk.id.as_ref()).map(str::to_owned));
        self.model = self.model.take().or_else(|| model_name(chunk.model.as_ref()).map(str::to_owned));
        for choice in chunk.choices {
            self.take_choice(url, choice, on_progress)?;
        }
        self.usage = chunk.usage.or(self.usage.take());
        self.wire_timings = chunk.timings.or(self.wire_timings.take());
        Ok(())
    }

    fn take_choice(
        &mut self,
        url: &str,
        choice: Choice,
        on_progress: &mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<(), ModelError> {
        let text = choice.delta.content.unwrap_or_default();
        let thought = choice.delta.reasoning_content.unwrap_or_default();
        if !(text.is_empty() && thought.is_empty()) {
            self.first_token_ms.get_or_insert_with(|| millis_since(self.sent));
        }
        if !text.is_empty() {
            on_progress(Progress::Text(&text));
            self.text.push_str(&text);
        }
        if let Some(word) = choice.finish_reason {
            let known = finish_reason(&word);
            self.finish = Some(known.ok_or_else(|| infra(url, format!("unknown finish_reason `{word}`")))?);
        }
        Ok(())
    }

    /// The reply, if all of it arrived.
    pub(super) fn finish(self, url: &str) -> Result<Reply, ModelError> {
        if !self.done {
            return Err(infra(url, format!("the answer broke off after {} bytes of text", self.text.len())));
        }
        let finish = self.finish.ok_or_else(|| infra(url, "the answer ended without a finish_reason"))?;
        let usage = self.usage.ok_or_else(|| infra(url, "the answer ended without token counts"))?;
        let usage: Usage = usage.resolve(self.wire_timings.as_ref());
        let mut timings = Timings {
            total_ms: millis_since(self.sent),
            first_token_ms: self.first_token_ms,
            prompt_ms: None,
            decode_ms: None,
        };
        if let Some(wire) = &self.wire_timings {
            wire.fill(&mut timings);
        }
        Ok(Reply { text: self.text, finish, usage, timings, id: self.id, model: self.model })
    }
}

fn millis_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"{}"}}]}"#;
    const STOP: &str = r#"{"choices":[{"finish_reason":"stop","index":0,"delta":{}}]}"#;
    const COUNTS: &str = r#"{"choices":[],"usage":{"completion_tokens":6,"prompt_tokens":287,"prompt_tokens_details":
        {"cached_tokens":286}},"timings":{"cache_n":286,"prompt_ms":0.5,"predicted_ms":1.5}}"#;

    fn answer(events: &[&str]) -> Result<Reply, ModelError> {
        let mut answer = Answer::new(Instant::now());
        for event in events {
            answer.take("u", event, &mut |_| ())?;
        }
        answer.finish("u")
    }

    #[test]
    fn a_complete_answer_carries_counts_and_server_timings() {
        let reply = answer(&[TEXT, STOP, COUNTS, DONE]).unwrap();
        assert_eq!((reply.text.as_str(), reply.finish), ("{}", FinishReason::Stop));
        assert_eq!(reply.usage, Usage { prompt_tokens: 287, cached_tokens: 286, completion_tokens: 6 });
        assert_eq!((reply.timings.prompt_ms, reply.timings.decode_ms), (Some(0.5), Some(1.5)));
        assert!(reply.timings.first_token_ms.unwrap() <= reply.timings.total_ms);
    }

    #[test]
    fn the_server_says_who_answered() {
        let named = |id: &str, model: &str| {
            let first = format!(r#"{{"id":{id},"model":{model}}}"#);
            let reply = answer(&[&first, r#"{"id":"later","model":"later"}"#, TEXT, STOP, COUNTS, DONE]).unwrap();
            (reply.id.unwrap(), reply.model.unwrap())
        };
        let pair = |id: &str, model: &str| (id.to_owned(), model.to_owned());
        assert_eq!(named(r#""chatcmpl-1""#, r#""ggml-org/gemma:Q8_0""#), pair("chatcmpl-1", "ggml-org/gemma:Q8_0"));
        assert_eq!(named(r#""a""#, r#""/home/ann/models/qwen.gguf""#), pair("a", "qwen.gguf"));
        assert_eq!(named(r#""a""#, r#""models\\qwen.gguf""#), pair("a", "qwen.gguf"));
        // What is no name, of whatever type, costs no answer and is not taken.
        for odd in ["7", "null", r#""""#, r#""two words""#, &format!("{:?}", "x".repeat(129))] {
            assert_eq!(named(odd, odd), pair("later", "later"), "{odd}");
        }
        let reply = answer(&[TEXT, STOP, COUNTS, DONE]).unwrap();
        assert_eq!((reply.id, reply.model), (None, None));
    }

    #[test]
    fn each_missing_piece_is_an_infrastructure_failure() {
        let cases: [(&[&str], &str); 5] = [
            (&[TEXT, STOP, COUNTS], "broke off after 2 bytes"),
            (&[TEXT, COUNTS, DONE], "without a finish_reason"),
            (&[TEXT, STOP, DONE], "without token counts"),
            (&["{\"choices\":7}", DONE], "cannot be read"),
            (&[r#"{"choices":[{"finish_reason":"tool_calls","delta":{}}]}"#], "unknown finish_reason `tool_calls`"),
        ];
        for (events, expected) in cases {
            let error = answer(events).unwrap_err();
            assert!(matches!(error, ModelError::Infra { .. }) && error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn an_error_in_the_stream_is_classified_like_a_status() {
        let event = r#"{"error":{"code":400,"type":"exceed_context_size_error","n_prompt_tokens":9,"n_ctx":8}}"#;
        let overflow = ModelError::ContextOverflow { prompt_tokens: 9, context_tokens: 8 };
        assert_eq!(answer(&[TEXT, event]).unwrap_err(), overflow);
    }
}
