//! Traces, metrics and logs: where they go, and what the rest of the program needs to add to them.
//!
//! The code that works makes spans and events with `tracing` and the names of [`crate::semconv`]; whether anything comes
//! of them is decided here. Telemetry is off until it is given a [`Target`]; then the OpenTelemetry SDK batches what was
//! recorded on threads of its own and sends it. Nothing ever waits for it: queues are bounded, and what does not arrive
//! is counted ([`Meters`]) and forgotten. No text of logs, prompts or answers is sent, unless [`Target::content`] asks
//! for it.

mod active;
mod drift;
mod export;
mod filter;
mod instrument;
mod meters;
mod otlp;
mod stderr;
mod target;
mod tls;
mod trace;

pub use active::{Sampling, Service, collects_content, configure, shutdown, start};
pub use meters::{Meters, meters};
pub use stderr::Json;
pub use target::{Destination, Protocol, Raw, Target, TargetError};
pub use trace::{here, remote, trace_id};

pub(crate) use filter::is_ours;
pub(crate) use trace::{failed, send};
