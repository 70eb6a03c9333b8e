//! The command line's own telemetry: as OpenTelemetry's variables say, and off without them.

use std::env;
use std::time::Duration;

use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, fmt};

use crate::telemetry::{self, Json, Sampling, Service, Target};

/// How long the end of a command waits for what is still to be sent.
const PATIENCE: Duration = Duration::from_secs(5);

/// Switches on what is asked for: telemetry by OpenTelemetry's variables, a log on standard error by `RUST_LOG`. A fault
/// in either is told and stops no work.
pub(super) fn start() {
    let log = env::var("RUST_LOG").ok().filter(|directives| !directives.is_empty());
    let target = Target::from_environment(|name| env::var(name).ok()).unwrap_or_else(|error| {
        eprintln!("warning: nothing is sent by OTLP: {error}");
        Target::default()
    });
    if log.is_none() && target.is_off() {
        return;
    }
    let log = log.map(|directives| {
        let level = EnvFilter::try_new(directives).unwrap_or_else(|_| EnvFilter::new("info"));
        let ours = filter_fn(|metadata| telemetry::is_ours(metadata.target()));
        fmt::layer().event_format(Json).with_writer(std::io::stderr).with_filter(level).with_filter(ours)
    });
    telemetry::start(&Service { name: "assay", instance: None }, Sampling::Environment, log);
    if let Err(error) = telemetry::configure(&target) {
        eprintln!("warning: nothing is sent by OTLP: {error}");
    }
}

/// Sends what is left.
pub(super) async fn stop() {
    let _ = tokio::task::spawn_blocking(|| telemetry::shutdown(PATIENCE)).await;
}
