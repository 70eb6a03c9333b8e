//! The telemetry of the process: set up once, sent where the newest target says, flushed at the end.

use std::sync::mpsc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{self, BatchLogProcessor, LogExporter, SdkLoggerProvider};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{self, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanExporter};
use tokio::runtime::Handle;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use super::export::{Line, Logs, Metrics, Spans};
use super::filter::{OnlyEvents, OnlySpans, Switches};
use super::meters::meters;
use super::otlp;
use super::target::{Target, TargetError};
use crate::semconv::SCHEMA_URL;

/// Most spans that wait to be sent, unless `OTEL_BSP_MAX_QUEUE_SIZE` says otherwise.
const MAX_SPANS: usize = 2_048;
/// Most log records that wait, unless `OTEL_BLRP_MAX_QUEUE_SIZE` says otherwise: a scored case is some twenty of them.
const MAX_RECORDS: usize = 8_192;

/// The name of the instrumentation.
const SCOPE: &str = "assay";

/// Who sends.
#[derive(Debug, Clone)]
pub struct Service {
    /// `service.name`, unless `OTEL_SERVICE_NAME` says otherwise.
    pub name: &'static str,
    /// `service.instance.id`, for a program of which several run at a time.
    pub instance: Option<String>,
}

/// Which traces are recorded, if nobody decided that further up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampling {
    /// As `OTEL_TRACES_SAMPLER` says, by default all.
    Environment,
    /// This share of them, 0 to 1.
    Share(f64),
}

struct Active {
    switches: Arc<Switches>,
    spans: Spans,
    logs: Logs,
    metrics: Metrics,
    tracers: SdkTracerProvider,
    loggers: SdkLoggerProvider,
    meters: OnceLock<SdkMeterProvider>,
    resource: Resource,
    runtime: Handle,
    target: Mutex<Target>,
}

static ACTIVE: OnceLock<Active> = OnceLock::new();

/// Sets up the log and the telemetry of the process, which is off until [`configure`]. Must be called within the runtime
/// that will do the sending, and once: `false` if there is a log already, which then stays.
pub fn start<L>(service: &Service, sampling: Sampling, log: L) -> bool
where
    L: Layer<Registry> + Send + Sync,
{
    let runtime = Handle::current();
    let resource = resource(service);
    let switches = Arc::new(Switches::default());
    let spans = Spans(Line::new("traces", runtime.clone(), setting("OTEL_BSP_MAX_QUEUE_SIZE", MAX_SPANS)));
    let logs = Logs(Line::new("logs", runtime.clone(), setting("OTEL_BLRP_MAX_QUEUE_SIZE", MAX_RECORDS)));
    let tracers = SdkTracerProvider::builder().with_span_processor(spans.clone()).with_resource(resource.clone());
    let tracers = match sampling {
        Sampling::Environment => tracers,
        Sampling::Share(share) => {
            tracers.with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))))
        }
    }
    .build();
    let loggers = SdkLoggerProvider::builder().with_log_processor(logs.clone()).with_resource(resource.clone()).build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(tracers.tracer_with_scope(scope()))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
        .with_level(false)
        .with_filter(OnlySpans(Arc::clone(&switches)));
    let bridge = OpenTelemetryTracingBridge::new(&loggers).with_filter(OnlyEvents(Arc::clone(&switches)));
    if tracing_subscriber::registry().with(log).with(layer).with(bridge).try_init().is_err() {
        return false;
    }
    let metrics = Metrics(Line::new("metrics", runtime.clone(), usize::MAX));
    let (meters, target) = (OnceLock::new(), Mutex::default());
    let active = Active { switches, spans, logs, metrics, tracers, loggers, meters, resource, runtime, target };
    ACTIVE.set(active).is_ok()
}

/// Sends everything to `target` from now on. Costs nothing where it is the one already.
///
/// # Errors
/// A target that no exporter can be made for; the one before stays.
pub fn configure(target: &Target) -> Result<(), TargetError> {
    let Some(active) = ACTIVE.get() else { return Ok(()) };
    let mut current = active.target.lock().unwrap_or_else(PoisonError::into_inner);
    if *current == *target {
        return Ok(());
    }
    active.follow(target)?;
    current.clone_from(target);
    tracing::info!(to = %target, content = target.content, "telemetry");
    Ok(())
}

/// Whether this target asks for what was said to models, and everything is sent to it at present.
pub fn collects_content(target: &Target) -> bool {
    let is_current = |active: &Active| *active.target.lock().unwrap_or_else(PoisonError::into_inner) == *target;
    target.content && ACTIVE.get().is_some_and(is_current)
}

/// Sends what is left, `within` at most. Blocks: not for an async task.
pub fn shutdown(within: Duration) {
    let Some(active) = ACTIVE.get() else { return };
    let deadline = Instant::now() + within;
    let (done, ended) = mpsc::channel();
    let (tracers, loggers, meters) = (active.tracers.clone(), active.loggers.clone(), active.meters.get().cloned());
    let works: [Box<dyn FnOnce() + Send>; 3] = [
        Box::new(move || drop(tracers.shutdown_with_timeout(within))),
        Box::new(move || drop(loggers.shutdown_with_timeout(within))),
        Box::new(move || drop(meters.map(|meters| meters.shutdown_with_timeout(within)))),
    ];
    // Each on a thread of its own: one signal that hangs must not cost the others, and no SDK promises to be in time.
    for work in works {
        let done = done.clone();
        thread::spawn(move || {
            work();
            let _ = done.send(());
        });
    }
    drop(done);
    for _ in 0..3 {
        let left = deadline.saturating_duration_since(Instant::now());
        if ended.recv_timeout(left).is_err() {
            return;
        }
    }
}

impl Active {
    /// Makes the exporters first, so that a target with a fault changes nothing.
    fn follow(&self, target: &Target) -> Result<(), TargetError> {
        let _inside = self.runtime.enter();
        let mut spans = target.traces.as_ref().map(|to| otlp::spans(target, to)).transpose()?;
        let mut logs = target.logs.as_ref().map(|to| otlp::logs(target, to)).transpose()?;
        let metrics = target.metrics.as_ref().map(|to| otlp::metrics(target, to)).transpose()?;
        if let Some(exporter) = &mut spans {
            exporter.set_resource(&self.resource);
            self.spans.0.process_with(|| self.span_processor());
        }
        if let Some(exporter) = &mut logs {
            exporter.set_resource(&self.resource);
            self.logs.0.process_with(|| self.log_processor());
        }
        if metrics.is_some() {
            self.meters.get_or_init(|| self.meter_provider());
        }
        self.spans.0.send_to(spans);
        self.logs.0.send_to(logs);
        self.metrics.0.send_to(metrics);
        self.switches.set(target);
        Ok(())
    }

    fn span_processor(&self) -> BatchSpanProcessor {
        let size = self.spans.0.capacity();
        let config = trace::BatchConfigBuilder::default().with_max_queue_size(size).build();
        BatchSpanProcessor::builder(self.spans.clone()).with_batch_config(config).build()
    }

    fn log_processor(&self) -> BatchLogProcessor {
        let size = self.logs.0.capacity();
        let config = logs::BatchConfigBuilder::default().with_max_queue_size(size).build();
        BatchLogProcessor::builder(self.logs.clone()).with_batch_config(config).build()
    }

    fn meter_provider(&self) -> SdkMeterProvider {
        let reader = PeriodicReader::builder(self.metrics.clone()).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).with_resource(self.resource.clone()).build();
        meters().connect(&provider.meter_with_scope(scope()));
        provider
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION")).with_schema_url(SCHEMA_URL).build()
}

/// What the environment says of the service goes before what the program says of itself.
fn resource(service: &Service) -> Resource {
    let detected = Resource::builder().build();
    let named = detected.get(&"service.name".into()).is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let mut own = vec![KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))];
    own.extend((!named).then(|| KeyValue::new("service.name", service.name)));
    own.extend(service.instance.clone().map(|instance| KeyValue::new("service.instance.id", instance)));
    Resource::builder().with_attributes(own).build()
}

fn setting(variable: &str, default: usize) -> usize {
    let set = std::env::var(variable).ok().and_then(|text| text.trim().parse().ok());
    set.filter(|size| *size > 0).unwrap_or(default)
}
