//! The data source backend: what Grafana starts, asks and stops.
//!
//! Only this module knows Grafana's plugin protocol. From `grafana-plugin-sdk` it takes the handshake and the generated
//! stubs; the server, the log, the frames ([`crate::frame`]), the shutdown and the Data service's answers are its
//! own, for the reasons in `docs/decisions/0001-sdk-at-the-edge.md`. It serves what is stored and never waits for a
//! model. It lets no credential into a log, at any level, and no query take another down with it.
//!
//! A new query type is one file in `query/` and one line in its registry.

mod data;
mod desk;
mod diagnostics;
mod error;
mod exposition;
mod grpc;
mod health;
mod instance;
mod log;
mod query;
mod request;
mod resource;
mod server;
mod settings;
mod stream;
mod telemetry;
mod trace;
mod wire;

/// Listens on a free port of 127.0.0.1 and prints the line that the host waits for; must come before any other output.
pub use grafana_plugin_sdk::backend::initialize as handshake;
pub use log::init as init_log;
pub use server::{serve, watch_parent};

/// The plugin's id in Grafana.
pub const PLUGIN_ID: &str = "assay-logs-datasource";
