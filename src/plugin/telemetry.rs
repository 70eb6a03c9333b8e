//! What the plugin counts about itself, as OpenMetrics text.
//!
//! Labels are closed lists (query types, statuses, cache names): no query, no user and no data source adds a series.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::store::{Counts, Hits};
use crate::telemetry::{meters, trace_id};

/// Upper bounds of the durations, in seconds: from a cache's answer to a cold read of object storage.
const BOUNDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    r#type: String,
    status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Called {
    resource: String,
    status: String,
}

/// A duration, with the trace of one that took about as long.
type Timed = HistogramWithExemplars<[(&'static str, String); 1]>;

/// The counters of the process.
#[derive(Debug)]
pub(super) struct Telemetry {
    registry: Mutex<Registry>,
    queries: Family<Asked, Counter>,
    durations: Family<Asked, Timed, fn() -> Timed>,
    resources: Family<Called, Counter>,
    running: Gauge,
    /// What the stores' caches count.
    pub(super) store: Counts,
}

impl Default for Telemetry {
    fn default() -> Self {
        let durations: fn() -> Timed = || Timed::new(BOUNDS.into_iter());
        let telemetry = Self {
            registry: Mutex::new(Registry::with_prefix("assay")),
            queries: Family::default(),
            durations: Family::new_with_constructor(durations),
            resources: Family::default(),
            running: Gauge::default(),
            store: Counts::default(),
        };
        telemetry.register();
        telemetry
    }
}

impl Telemetry {
    fn register(&self) {
        let mut registry = self.registry.lock().expect("nobody else has it yet");
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The running version", version);
        registry.register("queries", "Queries that were answered", self.queries.clone());
        let help = "From a query's arrival to its answer";
        registry.register_with_unit("query_duration", help, Unit::Seconds, self.durations.clone());
        registry.register("queries_running", "Queries that are being answered", self.running.clone());
        registry.register("resources", "Resource calls that were answered", self.resources.clone());
        for (name, what, hits) in self.caches() {
            registry.register(format!("store_{name}_hits"), format!("{what} that were kept"), hits.hit.clone());
            registry.register(format!("store_{name}_misses"), format!("{what} that were read"), hits.miss.clone());
        }
    }

    fn caches(&self) -> [(&'static str, &'static str, &Hits); 3] {
        let store = &self.store;
        [
            ("listing", "Listings of a store", &store.listings),
            ("record", "Records of runs", &store.records),
            ("rows", "Rows of runs", &store.runs),
        ]
    }

    /// A query begins.
    pub(super) fn begins(&self) -> Running<'_> {
        self.running.inc();
        Running(self)
    }

    /// A query was answered, in the trace that the caller is in.
    pub(super) fn answered(&self, kind: &'static str, status: i32, took: Duration) {
        let labels = Asked { r#type: kind.to_owned(), status: status.to_string() };
        self.queries.get_or_create(&labels).inc();
        let exemplar = trace_id().map(|id| [("trace_id", id)]);
        self.durations.get_or_create(&labels).observe(took.as_secs_f64(), exemplar, Some(SystemTime::now()));
    }

    /// A resource call was answered.
    pub(super) fn called(&self, resource: &'static str, status: i32) {
        self.resources.get_or_create(&Called { resource: resource.to_owned(), status: status.to_string() }).inc();
    }

    /// All of it and what the pipeline counts, as OpenMetrics text.
    pub(super) fn text(&self) -> String {
        let mut text = meters().text();
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A String takes whatever is written to it.
        let _ = encode_registry(&mut text, &registry).and_then(|()| encode_eof(&mut text));
        text
    }
}

/// Counts a query as running for as long as it lives: a query that Grafana gave up on ends too.
pub(super) struct Running<'t>(&'t Telemetry);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_in_the_text() {
        let telemetry = Telemetry::default();
        let running = telemetry.begins();
        telemetry.answered("runs", 200, Duration::from_millis(3));
        telemetry.called("variables", 404);
        telemetry.store.records.hit.inc();
        let text = telemetry.text();
        for line in [
            "assay_build_info{version=\"",
            "assay_queries_total{type=\"runs\",status=\"200\"} 1",
            "assay_query_duration_seconds_count{type=\"runs\",status=\"200\"} 1",
            "assay_queries_running 1",
            "assay_resources_total{resource=\"variables\",status=\"404\"} 1",
            "assay_store_record_hits_total 1",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        drop(running);
        assert!(telemetry.text().contains("assay_queries_running 0"));
    }
}
