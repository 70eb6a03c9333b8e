//! Logging in the form that Grafana reads: JSON lines on standard error.
//!
//! Requests carry decrypted credentials, and the SDK and the gRPC stack beneath it log requests. Whatever `RUST_LOG`
//! says, only this product's own events pass below warnings, and of the SDK none at all. Our own code logs no settings,
//! no query and no log line.

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, registry};

/// Sets up the log of the process. `directives` is what `RUST_LOG` says; unset or unreadable means `info`.
///
/// A panic becomes an error line with its place in the source; its message, which may quote data, is left out.
pub fn init(directives: Option<&str>) {
    let level = directives.and_then(|text| EnvFilter::try_new(text).ok()).unwrap_or_else(|| EnvFilter::new("info"));
    let layer = grafana_plugin_sdk::backend::layer().with_filter(level.and(filter_fn(may_pass)));
    // Fails only when a log was set up before, which then stays.
    if registry().with(layer).try_init().is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(place, "a defect of the plugin was caught");
        }));
    }
}

fn may_pass(event: &Metadata<'_>) -> bool {
    passes(event.target(), event.level())
}

fn passes(target: &str, level: &Level) -> bool {
    let from = target.split("::").next().unwrap_or(target);
    match from {
        "assay" | "gpx_assay" => true,
        "grafana_plugin_sdk" => false,
        _ => level <= &Level::WARN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_events_pass_below_warnings_and_none_of_the_sdk() {
        assert!(passes("assay::plugin::data", &Level::TRACE));
        assert!(!passes("grafana_plugin_sdk::backend::diagnostics", &Level::ERROR));
        assert!(passes("h2", &Level::WARN));
        assert!(!passes("h2::proto", &Level::DEBUG));
        assert!(!passes("assayer", &Level::INFO));
    }
}
