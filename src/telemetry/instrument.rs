//! Instruments that count twice: for OpenMetrics text with exemplars, which the OpenTelemetry SDK does not write, and for
//! OTLP, once somebody receives it. Both come out of Prometheus under one name.
//!
//! The number of label sets of an instrument is bounded, whatever is counted.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{self, Meter};
use prometheus_client::metrics::exemplar::{CounterWithExemplar, HistogramWithExemplars};
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge as TextGauge;
use prometheus_client::registry::{Registry, Unit};

use super::trace_id;

/// Most label sets of one instrument, unless it is told another bound; what is counted beyond shares one.
const MAX_LABEL_SETS: usize = 256;

/// Every label's value in the label set that is shared.
const OVERFLOW: &str = "overflow";

/// Names and values, the names as OpenTelemetry has them.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

/// Names and values as Prometheus has them.
type Text = Vec<(String, String)>;

type Exemplar = Vec<(&'static str, String)>;

/// What an instrument is called.
#[derive(Debug)]
struct Name {
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    most: usize,
    known: Mutex<HashSet<Text>>,
}

impl Name {
    fn new(name: &'static str, unit: &'static str, help: &'static str) -> Self {
        Self { name, unit, help, most: MAX_LABEL_SETS, known: Mutex::default() }
    }

    /// The labels to count under, in both forms.
    fn bounded(&self, labels: Labels<'_>) -> (Text, Vec<KeyValue>) {
        let text = |value: fn(&str) -> &str| -> Text {
            labels.iter().map(|(name, given)| (name.replace('.', "_"), value(given).to_owned())).collect()
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let given = text(|given| given);
        if known.contains(&given) || (known.len() < self.most && known.insert(given.clone())) {
            return (given, labels.iter().map(|(name, value)| KeyValue::new(*name, (*value).to_owned())).collect());
        }
        (text(|_| OVERFLOW), labels.iter().map(|(name, _)| KeyValue::new(*name, OVERFLOW)).collect())
    }

    /// The name in Prometheus, without the suffix that comes from its type and unit.
    fn register(&self, registry: &mut Registry, metric: impl prometheus_client::registry::Metric) {
        let name = self.name.replace('.', "_");
        match self.unit {
            "s" => registry.register_with_unit(name, self.help, Unit::Seconds, metric),
            _ => registry.register(name, self.help, metric),
        }
    }
}

/// Counts up.
#[derive(Debug)]
pub(super) struct Counter {
    name: Name,
    text: Family<Text, CounterWithExemplar<Exemplar>>,
    otlp: OnceLock<metrics::Counter<u64>>,
}

impl Counter {
    pub(super) fn new(registry: &mut Registry, name: &'static str, unit: &'static str, help: &'static str) -> Self {
        let counter = Self { name: Name::new(name, unit, help), text: Family::default(), otlp: OnceLock::new() };
        counter.name.register(registry, counter.text.clone());
        counter
    }

    pub(super) fn connect(&self, meter: &Meter) {
        let name = &self.name;
        self.otlp.get_or_init(|| meter.u64_counter(name.name).with_unit(name.unit).with_description(name.help).build());
    }

    pub(super) fn add(&self, count: u64, labels: Labels<'_>) {
        let (text, attributes) = self.name.bounded(labels);
        self.text.get_or_create(&text).inc_by(count, exemplar(), Some(SystemTime::now()));
        if let Some(otlp) = self.otlp.get() {
            otlp.add(count, &attributes);
        }
    }
}

/// Bounds of a histogram, for the text form of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds(&'static [f64]);

impl MetricConstructor<HistogramWithExemplars<Exemplar>> for Bounds {
    fn new_metric(&self) -> HistogramWithExemplars<Exemplar> {
        HistogramWithExemplars::new(self.0.iter().copied())
    }
}

/// Sorts into buckets.
#[derive(Debug)]
pub(super) struct Histogram {
    name: Name,
    bounds: &'static [f64],
    text: Family<Text, HistogramWithExemplars<Exemplar>, Bounds>,
    otlp: OnceLock<metrics::Histogram<f64>>,
}

impl Histogram {
    pub(super) fn new(
        registry: &mut Registry,
        name: &'static str,
        unit: &'static str,
        help: &'static str,
        bounds: &'static [f64],
    ) -> Self {
        let text = Family::new_with_constructor(Bounds(bounds));
        let histogram = Self { name: Name::new(name, unit, help), bounds, text, otlp: OnceLock::new() };
        histogram.name.register(registry, histogram.text.clone());
        histogram
    }

    pub(super) fn connect(&self, meter: &Meter) {
        let name = &self.name;
        self.otlp.get_or_init(|| {
            let histogram = meter.f64_histogram(name.name).with_unit(name.unit).with_description(name.help);
            histogram.with_boundaries(self.bounds.to_vec()).build()
        });
    }

    pub(super) fn record(&self, value: f64, labels: Labels<'_>) {
        let (text, attributes) = self.name.bounded(labels);
        self.text.get_or_create(&text).observe(value, exemplar(), Some(SystemTime::now()));
        if let Some(otlp) = self.otlp.get() {
            otlp.record(value, &attributes);
        }
    }
}

/// Holds the newest value.
#[derive(Debug)]
pub(super) struct Gauge {
    name: Name,
    text: Family<Text, TextGauge<f64, AtomicU64>>,
    otlp: OnceLock<metrics::Gauge<f64>>,
}

impl Gauge {
    pub(super) fn new(registry: &mut Registry, name: &'static str, unit: &'static str, help: &'static str) -> Self {
        let gauge = Self { name: Name::new(name, unit, help), text: Family::default(), otlp: OnceLock::new() };
        gauge.name.register(registry, gauge.text.clone());
        gauge
    }

    /// Another bound on the label sets.
    pub(super) fn at_most(mut self, sets: usize) -> Self {
        self.name.most = sets;
        self
    }

    pub(super) fn connect(&self, meter: &Meter) {
        let name = &self.name;
        self.otlp.get_or_init(|| meter.f64_gauge(name.name).with_unit(name.unit).with_description(name.help).build());
    }

    pub(super) fn set(&self, value: f64, labels: Labels<'_>) {
        let (text, attributes) = self.name.bounded(labels);
        self.text.get_or_create(&text).set(value);
        if let Some(otlp) = self.otlp.get() {
            otlp.record(value, &attributes);
        }
    }
}

/// The trace that a count belongs to, if it is recorded.
fn exemplar() -> Option<Exemplar> {
    trace_id().map(|id| vec![("trace_id", id)])
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn label_sets_beyond_the_bound_share_one() {
        let mut registry = Registry::default();
        let counter = Counter::new(&mut registry, "assay.verdicts", "{verdict}", "Answers");
        for n in 0..10 * MAX_LABEL_SETS {
            counter.add(1, &[("gen_ai.prompt.name", &format!("p{n}"))]);
        }
        counter.add(1, &[("gen_ai.prompt.name", "p0")]);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let series: Vec<&str> = text.lines().filter(|line| line.starts_with("assay_verdicts_total{")).collect();
        assert_eq!(series.len(), MAX_LABEL_SETS + 1);
        assert!(series.contains(&"assay_verdicts_total{gen_ai_prompt_name=\"p0\"} 2"), "{text}");
        let overflow = format!("assay_verdicts_total{{gen_ai_prompt_name=\"overflow\"}} {}", 9 * MAX_LABEL_SETS);
        assert!(series.contains(&overflow.as_str()), "{text}");
    }

    #[test]
    fn names_are_those_that_prometheus_makes_of_otlp() {
        let mut registry = Registry::default();
        let histogram = Histogram::new(&mut registry, "gen_ai.client.inference.duration", "s", "Time", &[1.0, 2.0]);
        histogram.record(1.5, &[("error.type", "timeout")]);
        Gauge::new(&mut registry, "assay.queue.depth", "{question}", "Waiting").set(3.0, &[]);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "gen_ai_client_inference_duration_seconds_bucket{le=\"2.0\",error_type=\"timeout\"} 1",
            "assay_queue_depth{} 3.0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
