//! Loki over HTTP: entries, samples, labels, and what a query would cost.
//!
//! [`Client::window`] is the way from a LogQL query to the [`Window`](crate::stream::Window) that is analysed. Wire
//! types stay inside; whatever Loki or a gateway before it answers becomes a value or a [`LokiError`] that says in
//! words what to do. Nothing here retries on its own, follows a redirect, or shows a credential.
//!
//! What it refuses: answers over a bound in bytes, entries outside the range that was asked for, and more entries of
//! one stream in one nanosecond than Loki gives out at once.

mod answer;
mod client;
mod cost;
mod error;
mod logs;
mod refusal;
mod settings;
mod tail;
mod tls;
mod walk;
mod wire;

pub use crate::http::Secret;
pub use answer::{Logs, Pattern, Series};
pub use client::Client;
pub use error::{LokiError, Place, SettingsError};
pub use logs::{Direction, LogQuery};
pub use settings::{Auth, Grafana, Settings};
pub use tail::{Tail, Tailed};
pub use tls::{Certificate, Tls};

/// Reads the body of a `query_range` response into the window of its entries: the parser alone, for benchmarks.
///
/// # Errors
/// In words, if it is not such a response.
pub fn parse_window(body: &[u8]) -> Result<crate::stream::Window, String> {
    let page = wire::page(body, false, Direction::Backward).map_err(|misread| misread.to_string())?;
    Ok(page.into_logs(true).window)
}
