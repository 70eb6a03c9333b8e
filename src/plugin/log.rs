//! The log of the process, in the form that Grafana reads: JSON lines on standard error. With it goes its telemetry, to
//! where Grafana sends its own traces until a data source's settings name another place.
//!
//! Requests carry decrypted credentials, and the SDK and the gRPC stack beneath it log requests. Whatever `RUST_LOG`
//! says, only this product's own events pass below warnings, and of the SDK none at all. Our own code logs no settings,
//! no query and no log line.

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::semconv::CONTENT;
use crate::telemetry::{self, Json, Protocol, Raw, Sampling, Service, Target};

/// Sets up log and telemetry by the variables that `read` gives: `RUST_LOG`, unset or unreadable meaning `info`, and
/// what Grafana says of its own traces. Must be called within the runtime.
///
/// A panic becomes an error line with its place in the source; its message, which may quote data, is left out.
pub fn init(read: impl Fn(&str) -> Option<String>) {
    let level = read("RUST_LOG").and_then(|text| EnvFilter::try_new(text).ok());
    let level = level.unwrap_or_else(|| EnvFilter::new("info"));
    let log = fmt::layer().event_format(Json).with_writer(std::io::stderr).with_filter(level.and(filter_fn(may_pass)));
    let service = Service { name: super::PLUGIN_ID, instance: host() };
    if !telemetry::start(&service, sampling(&read), log) {
        return;
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a defect of the plugin was caught");
    }));
    let configured = grafanas(&read).and_then(|target| telemetry::configure(&target));
    if let Err(error) = configured {
        tracing::warn!(%error, "traces do not go where Grafana's go");
    }
}

/// Where telemetry goes that no settings send elsewhere.
pub(super) fn inherited() -> Result<Target, telemetry::TargetError> {
    grafanas(|name| std::env::var(name).ok())
}

/// Where Grafana sends its own traces, which its newer versions keep to themselves; of plugins it expects nothing else.
pub(super) fn grafanas(read: impl Fn(&str) -> Option<String>) -> Result<Target, telemetry::TargetError> {
    let address = read("GF_INSTANCE_OTLP_ADDRESS").filter(|address| !address.is_empty());
    let raw = Raw { own: [(address.as_deref(), None), (None, None), (None, None)], ..Raw::default() };
    raw.resolve(Protocol::Grpc)
}

/// Which traces Grafana records. One that it decides about itself carries the decision; the others follow its setting as
/// far as there is such a sampler here.
fn sampling(read: impl Fn(&str) -> Option<String>) -> Sampling {
    let parameter = read("GF_INSTANCE_OTLP_SAMPLER_PARAM").and_then(|text| text.parse::<f64>().ok());
    match (read("GF_INSTANCE_OTLP_SAMPLER_TYPE").as_deref(), parameter) {
        (Some("const"), Some(0.0)) => Sampling::Share(0.0),
        (Some("probabilistic"), Some(share)) => Sampling::Share(share.clamp(0.0, 1.0)),
        _ => Sampling::Environment,
    }
}

fn host() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

fn may_pass(event: &Metadata<'_>) -> bool {
    passes(event.target(), event.level())
}

fn passes(target: &str, level: &Level) -> bool {
    let from = target.split("::").next().unwrap_or(target);
    match from {
        _ if target == CONTENT => false,
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
        assert!(!passes(CONTENT, &Level::ERROR), "what was said belongs into no log");
    }

    #[test]
    fn grafanas_own_settings_are_followed() {
        let read = |variables: &'static [(&str, &str)]| {
            move |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        assert!(grafanas(read(&[])).unwrap().is_off());
        let target = grafanas(read(&[("GF_INSTANCE_OTLP_ADDRESS", "tempo:4317")])).unwrap();
        assert_eq!(target.to_string(), "traces to http://tempo:4317");
        let sampler = |kind: &'static str, parameter: &'static str| {
            let given = [("GF_INSTANCE_OTLP_SAMPLER_TYPE", kind), ("GF_INSTANCE_OTLP_SAMPLER_PARAM", parameter)];
            sampling(move |name| given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(sampler("probabilistic", "0.25"), Sampling::Share(0.25));
        assert_eq!(sampler("const", "0"), Sampling::Share(0.0));
        assert_eq!(sampler("const", "1"), Sampling::Environment);
        assert_eq!(sampler("rateLimiting", "10"), Sampling::Environment);
    }
}
