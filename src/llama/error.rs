//! Every way a llama-server fails, turned into what the caller can do about it. The only place that decides.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::http::with_causes;
use crate::model::ModelError;

use super::wire::{ErrorBody, WireError};

/// Longest explanation of a server that is passed on, in characters.
const MAX_REASON: usize = 300;

/// Part of the message with which llama-server says that the finished text does not parse against the schema.
/// There is no error type for it: `server_error` stands for everything with status 500.
const OUTPUT_MISMATCH: &str = "does not match the expected";

/// Why an address or key cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The address cannot be used.
    #[error("cannot use `{url}` as the address of a llama-server: {reason}")]
    Url {
        /// The address, or a placeholder where it carries credentials.
        url: String,
        /// What is wrong with it, and the way out.
        reason: String,
    },
    /// The key cannot be sent in a header.
    #[error("the api key holds characters that an HTTP header cannot carry: expected printable ASCII")]
    Key,
    /// The HTTP client itself could not be set up.
    #[error("cannot set up the HTTP client: {0}")]
    Setup(String),
}

/// Why a managed llama-server is not there (any more).
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The program could not be started.
    #[error("cannot start `{}`: {source}; set ASSAY_LLAMA_SERVER to a llama-server that runs here", .program.display())]
    Program {
        /// What was to be started.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The model file cannot be read or is no GGUF.
    #[error("cannot serve model `{}`: {reason}", .path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The server's log file cannot be written.
    #[error("cannot write the server's log `{}`: {source}", .path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The process ended although nobody stopped it.
    #[error("llama-server ended ({status}); the end of its log `{}`:\n{tail}", .log.display())]
    Died {
        /// Exit status, in words.
        status: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// It runs but does not answer.
    #[error("llama-server was not ready within {} s; the end of its log `{}`:\n{tail}", .within.as_secs_f64(), .log.display())]
    Slow {
        /// How long was waited.
        within: Duration,
        /// Its log file.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// The model was trained for a shorter context than was asked for.
    #[error("asked for a context of {asked} tokens per slot, the server gives {got}: lower `context` to {got} or less")]
    Context {
        /// Tokens asked for.
        asked: u32,
        /// Tokens that a slot has.
        got: u32,
    },
    /// It answers, but not as a llama-server.
    #[error("llama-server started, but cannot be identified: {0}")]
    Identify(ModelError),
    /// Its address cannot be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A process could not be watched or stopped.
    #[error("cannot control llama-server: {0}")]
    Control(io::Error),
}

/// The surroundings failed.
pub(super) fn infra(url: &str, reason: impl AsRef<str>) -> ModelError {
    ModelError::Infra { url: url.to_owned(), reason: excerpt(reason.as_ref()) }
}

/// A connection or protocol error, with the causes that reqwest hides behind it and without the address.
pub(super) fn transport(url: &str, error: reqwest::Error) -> ModelError {
    infra(url, with_causes(&error.without_url()))
}

/// Classifies an answer whose status is not 200.
pub(super) fn of_status(url: &str, status: u16, body: &[u8]) -> ModelError {
    match serde_json::from_slice::<ErrorBody>(body) {
        Ok(body) => of_wire(url, status, &body.error),
        Err(_) => {
            let message = "without an explanation that can be read".to_owned();
            of_wire(url, status, &WireError { message, ..WireError::default() })
        }
    }
}

/// Classifies an error object. In a stream, after HTTP 200, its own `code` is the status.
pub(super) fn of_wire(url: &str, status: u16, error: &WireError) -> ModelError {
    if error.r#type == "exceed_context_size_error"
        && let (Some(prompt_tokens), Some(context_tokens)) = (error.n_prompt_tokens, error.n_ctx)
    {
        return ModelError::ContextOverflow { prompt_tokens, context_tokens };
    }
    let reason = excerpt(&error.message);
    match status {
        500 if error.message.contains(OUTPUT_MISMATCH) => ModelError::Output { reason },
        // 501: an endpoint that this server was started without. 3xx: a redirect would carry log text elsewhere.
        300..=399 | 501 => refused(url, status, reason),
        // 408 and 429 come from proxies in front: llama-server itself queues.
        408 | 429 => infra(url, format!("status {status}: {reason}")),
        400..=499 => refused(url, status, reason),
        _ => infra(url, format!("status {status}: {reason}")),
    }
}

fn refused(url: &str, status: u16, reason: String) -> ModelError {
    ModelError::Refused { url: url.to_owned(), status, reason }
}

/// At most [`MAX_REASON`] characters on one line, without control characters: it ends up in a terminal and in frames.
fn excerpt(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().take(MAX_REASON).map(clean).collect();
    if text.chars().nth(MAX_REASON).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(status: u16, message: &str) -> ModelError {
        of_wire("u", status, &WireError { message: message.to_owned(), ..WireError::default() })
    }

    #[test]
    fn the_status_decides_the_class() {
        for status in [408, 429, 500, 502, 503, 504, 206, 101] {
            assert!(matches!(wire(status, "x"), ModelError::Infra { .. }), "{status}");
        }
        for status in [302, 400, 401, 403, 404, 422, 501] {
            assert!(matches!(wire(status, "x"), ModelError::Refused { .. }), "{status}");
        }
    }

    #[test]
    fn only_a_500_is_about_the_output() {
        let message = "The model produced output that does not match the expected peg-native format";
        assert!(matches!(wire(500, message), ModelError::Output { .. }));
        assert!(matches!(wire(400, message), ModelError::Refused { .. }));
    }

    #[test]
    fn an_explanation_is_short_and_harmless() {
        let ModelError::Refused { reason, .. } = wire(400, &"\u{1b}[31m€".repeat(1000)) else {
            panic!("not refused")
        };
        assert_eq!(reason.chars().count(), MAX_REASON + 1);
        assert!(!reason.contains('\u{1b}'));
    }

    #[test]
    fn a_body_that_is_no_error_object_still_has_its_status() {
        let error = of_status("u", 502, b"<html>bad gateway</html>");
        assert_eq!(error.to_string(), "model server at u: status 502: without an explanation that can be read");
    }
}
