//! llama.cpp's own `llama-server`, over HTTP and as a process: the live [`Model`](crate::model::Model).
//!
//! [`Client`] asks, counts and identifies; [`Server`] starts one for as long as it is needed. What the server says is
//! turned into [`ModelError`](crate::model::ModelError) at one place (`error.rs`), so that a failure of the model is
//! never taken for a failure of the surroundings. Nothing here retries on its own: [`retry`] is the caller's choice.
//! No prompt, answer or key is ever logged.

mod answer;
mod client;
mod error;
mod identity;
mod launch;
mod patient;
mod process;
mod retry;
mod server;
mod stream;
mod wire;

pub use crate::http::Secret;
pub use client::{Client, Progress};
pub use error::{EndpointError, ServerError};
pub use identity::Identity;
pub use launch::{Launch, Profile, check_model};
pub use patient::Patient;
pub use retry::{Retry, retry};
pub use server::{Server, gguf_sha256};
